# Starts PostgreSQL in a directory of its own, says "ready", and stops it when its input ends.
# $1: a free port; $2: a certificate and $3: its key, for TLS.
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin /usr/local/pgsql/bin 2>/dev/null | tail -1)
[ -n "$bin" ] || bin=$(dirname "$(command -v initdb)")
dir=$(mktemp -d)
trap 'cd /; rm -rf "$dir"' EXIT
chmod 755 "$dir"
mkdir "$dir/pg"
echo secret > "$dir/password"
as=""
if [ "$(id -u)" = 0 ]; then
    # PostgreSQL refuses to run as root.
    chown nobody "$dir/pg" "$dir/password"
    as="su -s /bin/sh nobody -c"
else
    as="sh -c"
fi
cd "$dir/pg"
$as "'$bin/initdb' -D '$dir/pg/data' -U telethon -A scram-sha-256 --pwfile='$dir/password' --no-sync -E UTF8 --locale=C" > "$dir/pg/initdb.log" 2>&1
options="-p $1 -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir/pg -c fsync=off -c max_connections=300"
if [ -n "$2" ]; then
    cp "$2" "$dir/pg/server.crt"
    cp "$3" "$dir/pg/server.key"
    [ "$(id -u)" != 0 ] || chown nobody "$dir/pg/server.crt" "$dir/pg/server.key"
    chmod 600 "$dir/pg/server.key"
    options="$options -c ssl=on -c ssl_cert_file=$dir/pg/server.crt -c ssl_key_file=$dir/pg/server.key"
fi
$as "'$bin/pg_ctl' -D '$dir/pg/data' -l '$dir/pg/log' -w -o '$options' start" > "$dir/pg/start.log" 2>&1 < /dev/null
echo "ready $dir/pg"
trap '' INT TERM
read -r _ || true
$as "'$bin/pg_ctl' -D '$dir/pg/data' -m immediate stop" > /dev/null 2>&1
