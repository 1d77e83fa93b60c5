/* A reverse Polish calculator. */
#ifndef CALCULATOR_H
#define CALCULATOR_H
void push(long value);
long pop(void);
int feed(const char *word);
#endif
