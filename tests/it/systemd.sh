#!/usr/bin/env bash
# systemd.sh SCENARIO: one story under a systemd of its own, in which the units are installed as docs/systemd.md says.
# Started by tests/it/systemd.rs through `tests/with-systemd`. GAMESIDE_PROGRAMS = where the programs lie, GAMESIDE_TEST_PORT = a
# port for the session service, GAMESIDE_TEST_GAME_PORTS = a range for the game (the network is the machine's).
set -euo pipefail
repo=$(cd "$(dirname "$0")/../.." && pwd)
export GAMESIDE_SESSIONS=http://127.0.0.1:$GAMESIDE_TEST_PORT

say() { printf '   %s\n' "$*"; }
fail() {
  echo "FAILED: $*"
  systemctl status --no-pager -l -n 0 'gameside*' || true
  journalctl --no-pager -o short-monotonic -n 200 -u 'gameside*' || true
  exit 1
}
# wait_for WHAT COMMAND…: until it succeeds; only a failing test ever waits so long.
wait_for() {
  local what=$1 until=$((SECONDS + 60)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || fail "waited in vain for $what"
    read -rt 0.1 <> <(:) || true
  done
}
is() { [ "$1" = "$2" ]; }
equal() { [ "$2" = "$3" ] || fail "$1: expected '$3', found '$2'"; }

# --- what docs/systemd.md tells an administrator to do

layer() { # DIR: writable, and gone with this systemd
  local name=${1//\//_}
  mkdir -p "/mnt/up$name" "/mnt/work$name"
  mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/up$name,workdir=/mnt/work$name" "$1"
}

install_all() {
  layer /usr/bin; layer /var/lib
  install -m 0755 "$GAMESIDE_PROGRAMS/gameside" "$GAMESIDE_PROGRAMS/gameside-keeper" /usr/bin/
  install -m 0644 "$repo"/systemd/*.service /etc/systemd/system/
  install -D -m 0644 "$repo/systemd/gameside.sysusers.conf" /etc/sysusers.d/gameside.conf
  install -D -m 0644 "$repo/systemd/gameside.tmpfiles.conf" /etc/tmpfiles.d/gameside.conf
  systemd-sysusers
  systemd-tmpfiles --create gameside.conf
  drop_in gameside-sessions.service "ExecStart=" \
    "ExecStart=/usr/bin/gameside sessions --listen 127.0.0.1:$GAMESIDE_TEST_PORT --state-dir /var/lib/gameside-sessions"
  configure
  systemctl daemon-reload
  systemctl start gameside-sessions.service || fail "the session service doesn't start"
  credentials
}

drop_in() { # UNIT LINE…
  local unit=$1; shift
  mkdir -p "/etc/systemd/system/$unit.d"
  { echo "[Service]"; printf '%s\n' "$@"; } > "/etc/systemd/system/$unit.d/test.conf"
}

configure() { # [TOML LINE…]
  {
    printf '%s\n' "[session]" "url = \"$GAMESIDE_SESSIONS\"" "[credentials]" "client_id = \"arena\""
    printf '%s\n' "[guards]" "no_show_timeout = \"1h\""
    printf '%s\n' "[game.ports.game]" "range = \"$GAMESIDE_TEST_GAME_PORTS\"" "$@"
  } > /etc/gameside/arena.toml
}

credentials() {
  local said
  said=$(runuser -u gameside-sessions -- gameside sessions --state-dir /var/lib/gameside-sessions client add arena) \
    || fail "client add: $said"
  install -d -m 0700 /etc/credstore
  (umask 077; awk '/^client_secret/ {print $2}' <<<"$said" > /etc/credstore/gameside.arena.client-secret)
}

# --- looking

status() { gameside status arena --json | jq -r ".$1"; }
property() { systemctl show -P "$2" "$1"; }
joinable() { is "$(status join_status)" joinable; }
agent_pid() { property gameside@arena.service MainPID; }
keeper_pid() { property gameside-keeper@arena.service MainPID; }

up() {
  install_all
  systemctl start gameside@arena.service || fail "the agent doesn't start"
  wait_for "joinable" joinable
  agent=$(agent_pid) keeper=$(keeper_pid) game=$(status game.pid)
  session=$(status session_id) instance=$(status instance_id)
  say "up: agent $agent, keeper $keeper, game $game"
}

# The match is the one that `up` saw, and another agent has it.
taken_over() {
  wait_for "another agent" another_agent
  wait_for "joinable" joinable
  equal "game" "$(status game.pid)" "$game"
  equal "keeper" "$(keeper_pid)" "$keeper"
  equal "session" "$(status session_id)" "$session"
  equal "instance" "$(status instance_id)" "$instance"
  equal "restarts of the game" "$(status game.restarts)" 0
  kill -0 "$game" || fail "the game is gone"
}
another_agent() { local pid; pid=$(agent_pid); [ "$pid" != 0 ] && [ "$pid" != "$agent" ] && is "$(status agent.pid)" "$pid"; }

keeper_is_inactive() { is "$(property gameside-keeper@arena.service ActiveState)" inactive; }
all_ended() {
  kill -0 "$game" 2>/dev/null && fail "the game is still there"
  # Told so by the agent, it ends by itself, which may be a moment after the agent.
  wait_for "the keeper's end" keeper_is_inactive
  equal "keeper's result" "$(property gameside-keeper@arena.service Result)" success
  equal "agent" "$(property gameside@arena.service ActiveState)" inactive
  equal "agent's result" "$(property gameside@arena.service Result)" success
}

# --- the stories

users_and_rights() {
  up
  local set held; held=$(status keeper.pid)
  equal "the agent's user" "$(stat -c %U "/proc/$agent")" gameside
  equal "the keeper's user" "$(ps -o user:32= -p "$held" | tr -d ' ')" gameside
  equal "the watcher's user" "$(ps -o user:32= -p "$keeper" | tr -d ' ')" gameside
  equal "the game's user" "$(ps -o user:32= -p "$game" | tr -d ' ')" gameside-game
  for set in CapInh CapPrm CapEff CapBnd CapAmb; do
    equal "the agent's $set" "$(capabilities "$agent" $set)" 0000000000000000
    equal "the game's $set" "$(capabilities "$game" $set)" 0000000000000000
  done
  # CAP_KILL, CAP_SETGID, CAP_SETUID; nothing of it can be inherited.
  equal "the keeper's CapPrm" "$(capabilities "$held" CapPrm)" 00000000000000e0
  equal "the keeper's CapInh" "$(capabilities "$held" CapInh)" 0000000000000000
  equal "the keeper's CapAmb" "$(capabilities "$held" CapAmb)" 0000000000000000
  equal "the game's NoNewPrivs" "$(capabilities "$game" NoNewPrivs)" 1
  # An empty answer would prove nothing.
  tr '\0' '\n' < "/proc/$game/environ" | grep '^PATH=' >/dev/null || fail "the game's environment can't be read"
  tr '\0' '\n' < "/proc/$game/environ" | grep -E '^(NOTIFY_SOCKET|WATCHDOG_|LISTEN_|CREDENTIALS_DIRECTORY|INVOCATION_ID)' \
    && fail "the game was given what is systemd's and ours"
  [ -n "$(property gameside@arena.service StatusText)" ] || fail "no STATUS"
  say "STATUS: $(property gameside@arena.service StatusText)"
  # The keeper's own cgroup stays delegated and the game has one below it.
  grep -q "gameside-keeper@arena.service/." "/proc/$game/cgroup" || fail "the game has no cgroup of its own: $(cat "/proc/$game/cgroup")"
  systemctl is-active -q gameside-sessions.service || fail "the session service is gone"

  # What the game may, seen from where it lives.
  local dir=/var/lib/gameside/arena file
  as_game test -r $dir/game/startup.json || fail "the game can't read its startup parameters"
  as_game test -w $dir/game/api.sock || fail "the game can't reach its API"
  as_game touch /var/lib/gameside-game/save || fail "the game can't write in its home"
  for file in operator.token game.secret journal keeper.sock logs keeper; do
    [ -e $dir/$file ] || fail "there is no $file to be kept from the game"
    as_game test -r $dir/$file && fail "the game can read $file"
  done
  for file in $dir $dir/game $dir/game/startup.json $dir/logs $dir/journal /var/lib/gameside /run/gameside; do
    as_game test -w $file && fail "the game can write $file"
  done
  as_game kill -0 "$agent" 2>/dev/null && fail "the game may signal the agent"
  as_game kill -0 "$held" 2>/dev/null && fail "the game may signal the keeper"
  local checked
  checked=$(GAMESIDE_KEEPER__MODE=connect gameside check --name arena --config /etc/gameside/arena.toml) || fail "check: $checked"
  grep "nothing stands between" <<<"$checked" && fail "check finds no boundary"

  # What it leaves behind is reported as before.
  kill -ABRT "$game"
  wait_for "the next run" another_game
  gameside events arena -n 200 --json | grep '"kind":"exit"' | grep -q "signal 6" || fail "the exit report: $(gameside events arena -n 20)"
  [ "$(gameside logs arena -n 1000 | grep -c '^ready: ')" -ge 1 ] || fail "no output of the game"

  # Without the user of its own, check says so.
  systemctl stop gameside@arena.service || fail "stop"
  drop_in gameside-keeper@arena.service "ExecStart=" "ExecStart=/usr/bin/gameside-keeper --dir /var/lib/gameside/arena"
  systemctl daemon-reload
  systemctl start gameside-keeper@arena.service || fail "a keeper without --user doesn't start"
  wait_for "the keeper" test -S $dir/keeper.sock
  checked=$(GAMESIDE_KEEPER__MODE=connect gameside check --name arena --config /etc/gameside/arena.toml) || fail "check: $checked"
  grep -q "nothing stands between" <<<"$checked" || fail "check says nothing of the missing boundary: $checked"
}
capabilities() { awk -v set="$2:" '$1 == set {print $2}' "/proc/$1/status"; }
as_game() { nsenter -t "$game" -m -S "$(id -u gameside-game)" -G "$(id -g gameside-game)" -- "$@"; }
another_game() { local pid; pid=$(status game.pid); [ "$pid" != null ] && [ "$pid" != "$game" ]; }

agent_killed() {
  up
  kill -9 "$agent"
  taken_over
  equal "restarts of the unit" "$(property gameside@arena.service NRestarts)" 1
}

streams_stay_open() {
  up
  local stream api token served
  served=$(status gateway.pid)
  api=$(game_variable GAMESIDE_API); token=$(game_variable GAMESIDE_TOKEN)
  curl -sfN -H "Authorization: Bearer $token" "$api/v1/events" >/dev/null & stream=$!
  for _ in $(seq 2 "${GAMESIDE_DEATHS:-6}"); do
    agent=$(agent_pid)
    systemctl kill -s KILL gameside@arena.service
    taken_over
  done
  agent=$(agent_pid)
  gameside detach --restart arena
  taken_over
  wait_for "the gateway" is "$(status gateway.connected)" true
  equal "the gateway" "$(status gateway.pid)" "$served"
  kill -0 "$stream" || fail "the game's stream broke"
  # It keeps no unit from stopping.
  systemctl stop gameside@arena.service || fail "stop"
  all_ended
  wait "$stream" || true
  kill -0 "$served" 2>/dev/null && fail "the gateway is left over"
  true
}
game_variable() { tr '\0' '\n' < "/proc/$game/environ" | sed -n "s/^$1=//p"; }

start_limit() {
  up
  mkdir -p /etc/systemd/system/gameside@arena.service.d
  printf '%s\n' "[Unit]" "StartLimitIntervalSec=10min" "StartLimitBurst=2" "[Service]" "RestartSec=100ms" \
    > /etc/systemd/system/gameside@arena.service.d/limit.conf
  systemctl daemon-reload
  wait_for "the start limit" killed_again
  # The unit's Result stays that of the last kill.
  wait_for "the limit's word" limit_told
  kill -0 "$game" || fail "the game is gone"
  equal "keeper" "$(keeper_pid)" "$keeper"
  systemctl reset-failed gameside@arena.service
  rm /etc/systemd/system/gameside@arena.service.d/limit.conf
  systemctl daemon-reload
  systemctl start gameside@arena.service || fail "the agent doesn't start"
  taken_over
}
limit_told() { journalctl --no-pager -u gameside@arena.service | grep "Start request repeated too quickly"; }
is_failed() { systemctl is-failed -q gameside@arena.service; }
killed_again() { is_failed || { systemctl kill -s KILL gameside@arena.service; false; }; }

bad_configuration() {
  up
  echo "nonsense = [" >> /etc/gameside/arena.toml
  kill -9 "$agent"
  wait_for "a second try" tried_twice
  kill -0 "$game" || fail "the game is gone"
  equal "keeper" "$(keeper_pid)" "$keeper"
  configure
  taken_over
}
tried_twice() { [ "$(property gameside@arena.service NRestarts)" -ge 2 ]; }

detached() {
  up
  gameside detach --restart arena
  taken_over
  agent=$(agent_pid)
  gameside detach arena
  wait_for "the agent's end" is_inactive
  equal "result" "$(property gameside@arena.service Result)" success
  kill -0 "$game" || fail "the game is gone"
  systemctl start gameside@arena.service
  taken_over
}
is_inactive() { is "$(property gameside@arena.service ActiveState)" inactive; }

stopped() {
  up
  systemctl stop gameside@arena.service || fail "stop"
  all_ended
  gameside events arena -n 200 --json | grep '"kind":"closed"' >/dev/null || fail "closed was not reported"
  kill -0 "$(property gameside-sessions.service MainPID)" || fail "the session service is gone"
}

restarted() {
  up
  systemctl restart gameside@arena.service || fail "restart"
  wait_for "joinable" joinable
  kill -0 "$game" 2>/dev/null && fail "the game is still there"
  [ "$(status game.pid)" != "$game" ] || fail "the same game"
  [ "$(status instance_id)" != "$instance" ] || fail "the same instance"
  equal "keeper" "$(property gameside-keeper@arena.service ActiveState)" active
}

keeper_stopped() {
  up
  systemctl stop gameside-keeper@arena.service || fail "stop"
  wait_for "the agent's end" is_inactive
  all_ended
}

reloaded() {
  up
  configure "[drain]" "deadline = \"17m\""
  systemctl reload gameside@arena.service || fail "reload"
  wait_for "the timeline's word" reload_told
  equal "agent" "$(agent_pid)" "$agent"
  kill -0 "$game" || fail "the game is gone"
  echo "nonsense = [" >> /etc/gameside/arena.toml
  systemctl reload gameside@arena.service || true
  wait_for "the timeline's refusal" reload_refused
  equal "agent" "$(agent_pid)" "$agent"
  kill -0 "$game" || fail "the game is gone"
}
reload_told() { gameside events arena -n 200 --json | grep '"kind":"reload"' | grep -q "read again"; }
reload_refused() { gameside events arena -n 200 --json | grep '"kind":"reload"' | grep -q "not reloaded"; }

watchdog() {
  up
  kill -STOP "$agent"
  taken_over
  journalctl --no-pager -u gameside@arena.service | grep -i watchdog >/dev/null || fail "it was not the watchdog"
}

scenario=${1:?scenario}
declare -F "$scenario" >/dev/null || { echo "no scenario $scenario"; exit 2; }
"$scenario"
echo "passed: $scenario"
