# SPDX-License-Identifier: Apache-2.0
# A Docker engine of our own: its state, its socket and its images in one directory that is
# removed at the end, on the restricted machines where tests run (no network, no overlayfs).

ENGINE_CACHE=${VIZBPF_CACHE:-/var/cache/vizbpf}
ROOTS=$ENGINE_CACHE/roots
DOCKER=${DOCKER:-/usr/bin/docker}
HERE=$BATS_TEST_DIRNAME

docker() {
	"$DOCKER" -H "$DOCKER_HOST" "$@"
}

# For setup_file: starts the engine, or says in $ENGINE_SKIP why there is none.
start_engine() {
	export ENGINE_SKIP=""
	[ "$(id -u)" = 0 ] || ENGINE_SKIP="needs root"
	command -v dockerd >/dev/null || ENGINE_SKIP="docker.io is not installed"
	[ -x "$DOCKER" ] || ENGINE_SKIP="docker.io is not installed"
	[ -z "$ENGINE_SKIP" ] || return 0
	export ENGINE
	ENGINE=$(mktemp -d "${BATS_TMPDIR:-/tmp}/vizbpf-engine-XXXXXX")
	export DOCKER_HOST=unix://$ENGINE/socket
	dockerd --iptables=false --ip6tables=false --bridge=none --storage-driver=vfs \
		--data-root="$ENGINE/data" --exec-root="$ENGINE/run" --pidfile="$ENGINE/pid" \
		-H "$DOCKER_HOST" >"$ENGINE/log" 2>&1 3>&- &
	ENGINE_PID=$!
	export ENGINE_PID
	# The socket appears when the engine listens; the first answer is its readiness.
	until docker version >/dev/null 2>&1; do
		if ! kill -0 "$ENGINE_PID" 2>/dev/null; then
			ENGINE_SKIP="the Docker engine does not start here: $(tail -1 "$ENGINE/log")"
			return 0
		fi
		read -r -t 0.1 _ < <(:) || :
	done
}

# For teardown_file.
stop_engine() {
	local all mount

	[ -n "${ENGINE:-}" ] || return 0
	all=$(docker ps -aq)
	# shellcheck disable=SC2086 # one id, one word
	[ -z "$all" ] || docker rm -f $all >/dev/null
	kill -TERM "$ENGINE_PID"
	while kill -0 "$ENGINE_PID" 2>/dev/null; do
		read -r -t 0.1 _ < <(:) || :
	done
	while read -r _ mount _; do
		[[ $mount == "$ENGINE"/* ]] && umount "$mount"
	done </proc/self/mounts
	rm -rf --one-file-system "$ENGINE"
}

# An image from a root of tests/roots, without what no test looks at.
need_image() { # NAME
	[ -z "$ENGINE_SKIP" ] || skip "$ENGINE_SKIP"
	[ -d "$ROOTS/$1/usr/bin" ] || skip "no root $1 (tests/roots/make $1)"
	docker image inspect "vizbpf-$1" >/dev/null 2>&1 && return
	tar -C "$ROOTS/$1" --exclude=./usr/share/doc --exclude=./usr/share/locale \
		--exclude=./usr/share/man --exclude=./var/cache --exclude=./var/lib/apt \
		--exclude=./proc --exclude=./sys --exclude=./dev -c . |
		docker import - "vizbpf-$1" >/dev/null
}

# Starts a container that runs the code until it is removed; returns when it has said "ready".
# Sets CONTAINER_PID.
start_container() { # NAME IMAGE CODE [OPTION...]
	local line

	docker rm -f "$1" >/dev/null 2>&1 || :
	docker run -d --network=none --name "$1" "${@:4}" "$2" \
		"${CONTAINER_PYTHON:-python3}" -u -c "$3" >/dev/null
	while IFS= read -r line; do
		[ "$line" = ready ] && break
	done < <(timeout 60 "$DOCKER" -H "$DOCKER_HOST" logs -f "$1" 2>&1)
	[ "$line" = ready ]
	CONTAINER_PID=$(docker inspect -f '{{.State.Pid}}' "$1")
	CONTAINER_ID=$(docker inspect -f '{{.Id}}' "$1")
}

# Pids in a trace, one a line.
pids_in() { # TRACE
	"$HERE/../processes/trace.py" "$1" processes | cut -d' ' -f1
}

label() { # TRACE PID KEY
	"$HERE/../processes/trace.py" "$1" label "$2" "$3"
}

# A busy target that waits for a processor makes its first recorded call some time after vizbpf is ready.
stop_after_calls() {
	sleep 0.5
	stop_vizbpf
}
