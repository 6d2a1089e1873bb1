// The application in the engine's containers: prints numbered lines, among them an empty one, one that is not UTF-8 and one
// that Docker splits, and exits at once or after a while. Arguments: a name, how many lines, seconds to stay.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EMPTY = 100, NOT_UTF8 = 200, LONG = 300, LONG_BYTES = 40000 };

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    int lines = atoi(arguments[2]);
    for (int line = 0; line < lines; line++) {
        if (line == NOT_UTF8)
            fputs("\xff\xfe cut: \xe2\x82", stdout);
        else if (line != EMPTY)
            printf("%s line %d", arguments[1], line);
        if (line == LONG)
            for (int byte = 0; byte < LONG_BYTES; byte++)
                putchar('a' + byte % 26);
        putchar('\n');
    }
    fflush(stdout);
    sleep((unsigned)atoi(arguments[3]));
    return 0;
}
