#include "calculator.h"
static long values[64];
static int depth;
void push(long value)
{
	if (depth < 64)
		values[depth++] = value;
}
long pop(void)
{
	return depth > 0 ? values[--depth] : 0;
}
