#include <stdlib.h>
#include <string.h>
#include "calculator.h"
int feed(const char *word)
{
	if (strlen(word) == 1 && strchr("+-*", *word)) {
		long b = pop(), a = pop();
		push(*word == '+' ? a + b : *word == '-' ? a - b : a * b);
		return 0;
	}
	char *end;
	push(strtol(word, &end, 10));
	return *end != 0;
}
