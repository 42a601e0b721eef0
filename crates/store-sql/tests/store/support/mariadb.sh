# Starts MariaDB in a directory of its own, says "ready", and stops it when its input ends.
# $1: a free port.
set -e
dir=$(mktemp -d)
trap 'cd /; rm -rf "$dir"' EXIT
user=$(id -un)
mariadb-install-db --no-defaults --datadir="$dir/data" --auth-root-authentication-method=normal --skip-test-db --user="$user" > "$dir/install.log" 2>&1
cat > "$dir/init.sql" <<SQL
CREATE USER 'telethon'@'%' IDENTIFIED BY 'secret';
GRANT ALL ON *.* TO 'telethon'@'%' WITH GRANT OPTION;
SQL
mariadbd --no-defaults --datadir="$dir/data" --port="$1" --bind-address=127.0.0.1 --socket="$dir/socket" --user="$user" --init-file="$dir/init.sql" --innodb-flush-log-at-trx-commit=2 --max-connections=300 > "$dir/log" 2>&1 < /dev/null &
server=$!
trap '' INT TERM
for _ in $(seq 300); do
    grep -q "ready for connections" "$dir/log" 2>/dev/null && break
    kill -0 $server 2>/dev/null || exit 1
    sleep 0.1
done
echo "ready $dir"
read -r _ || true
kill -TERM $server
wait $server || true
