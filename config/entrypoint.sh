#!/bin/sh
# Where AWS's image begins, for task definitions and derived images that name it. Ours begins with the binary itself.
/fluent-bit/bin/fluent-bit --version
exec /fluent-bit/bin/fluent-bit -c /fluent-bit/etc/fluent-bit.conf
