#!/bin/sh
# Runs inside a bare Debian 12 root and makes it stand in for the Rust image that the Dockerfile begins with, out of Debian
# packages alone: cargo, rustc, a C compiler for musl, and the musl standard library, which Debian does not package and
# which is therefore compiled here from Debian's copy of its source.
set -eu
export DEBIAN_FRONTEND=noninteractive

apt-get update -q
apt-get install -q -y --no-install-recommends ca-certificates cargo-web gcc libc6-dev libunwind-14-dev musl-tools rust-web-src

target=$(uname -m)-unknown-linux-musl
libraries=$(rustc --print target-libdir --target "$target")

# Cargo builds a standard library for whatever asks for it; an empty crate does.
mkdir -p /tmp/std/src /tmp/std/.cargo
cd /tmp/std
: >src/lib.rs
cat >Cargo.toml <<'END'
[package]
name = "empty"
version = "0.0.0"
edition = "2024"
END
cat >.cargo/config.toml <<'END'
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "/usr/lib/rustlib/src/rust/library/vendor"
END
# As in Rust's own build, one crate of it is compiled to abort on a panic; cargo knows no such setting for a single crate.
cat >/tmp/rustc <<'END'
#!/bin/sh
case " $* " in
*" --crate-name panic_abort "*) exec "$@" -C panic=abort ;;
*) exec "$@" ;;
esac
END
chmod +x /tmp/rustc
RUSTC_WRAPPER=/tmp/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="-C embed-bitcode=yes" \
    cargo build --offline --release --target "$target" -Z build-std=std,panic_abort,panic_unwind
mkdir -p "$libraries/self-contained"
cp "target/$target/release/deps/"*.rlib "$libraries/"
rm "$libraries/"libempty-*.rlib

# Beside it rustc expects musl itself, the start files, and an unwinder.
cd "$libraries/self-contained"
cp "/usr/lib/$(uname -m)-linux-musl/"*.o "/usr/lib/$(uname -m)-linux-musl/libc.a" .
for start_file in crtbegin crtbeginS crtend crtendS; do
    cp "$(gcc -print-file-name=$start_file.o)" .
done

# The unwinder is LLVM's, which Debian compiled against glibc; musl lacks the checked fprintf it asks for. The compiler's own
# helpers go into the same archive: C code in the dependencies may ask for one that this standard library does not hold.
cat >/tmp/fprintf_chk.c <<'END'
#include <stdarg.h>
#include <stdio.h>

int __fprintf_chk(FILE *stream, int flag, const char *format, ...)
{
    (void)flag;
    va_list values;
    va_start(values, format);
    int written = vfprintf(stream, format, values);
    va_end(values);
    return written;
}
END
musl-gcc -O2 -c /tmp/fprintf_chk.c -o /tmp/fprintf_chk.o
ar -M <<END
create libunwind.a
addlib /usr/lib/llvm-14/lib/libunwind.a
addlib $(gcc -print-libgcc-file-name)
addmod /tmp/fprintf_chk.o
save
end
END

apt-get purge -q -y libunwind-14-dev rust-web-src
apt-get clean
rm -rf /tmp/* /var/lib/apt/lists/*

# The build has no network: cargo takes the crates from the folder that the test mounts.
mkdir -p /usr/local/cargo/vendor
cat >/usr/local/cargo/config.toml <<'END'
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "/usr/local/cargo/vendor"
END
