/* A library of one function, found by $ORIGIN beside the program. */
const char *greeting(void)
{
	return "hello from the image";
}
