#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The target is not harmed: the quick part. docs/safety.md says what each is about;
# long.bats has the same on every interpreter, and more often.

load common.bash

@test "greenlets: imported before the attach" { scenario --core greenlets_before; }
@test "greenlets: imported while traced" { scenario --core greenlets_after; }
@test "greenlets: hundreds suspended at attach and detach" { scenario --core greenlets_suspended; }
@test "depth: every call of a stack 950 deep" { scenario --core thousand_deep; }
@test "depth: 50,000 with a raised limit, small stacks, same outcome" { scenario --core deep_recursion; }
@test "depth: vizbpf hangs or is killed while it must step back" { scenario --core --times 2 deep_and_killed; }
@test "depth: SIGKILL at random moments of deep recursions" { scenario --core --times 4 killed_in_recursion; }
@test "depth: a thread with a small stack is hardly ever stopped" { scenario --core small_stacks; }
@test "depth: recording goes on when the end of such a thread is lost" { scenario --core small_stack_unseen; }
@test "no trace left: SIGINT, SIGTERM, -d" { scenario --core ends_normally; }
@test "no trace left: SIGKILL at random moments" { scenario --core --times 4 killed; }
@test "no trace left: SIGKILL while the probes are taken out" { scenario --core killed_while_ending; }
@test "no trace left: the guardian is killed too, --restore" { scenario --core guardian_killed_too; }
@test "no trace left: children that inherited the slot" { scenario --core children_that_inherited; }
@test "load: attach and detach under 8 busy threads" { scenario --core --times 3 cycles; }
@test "company: setprofile, settrace, monitoring" { scenario --core profiled_and_debugged; }
@test "company: a debugger" { scenario --core debugger; }
@test "company: coverage.py" { scenario --core coverage; }
@test "company: another PEP 523 user" { scenario --core another_eval_function; }
@test "company: another tracer's USDT semaphores" { scenario --core foreign_semaphores; }
@test "company: a second vizbpf is told who holds the process" { scenario --core second_vizbpf; }
@test "life: a stopped target stays stopped" { scenario --core stopped_target; }
@test "life: started by su, which minds stops" { scenario --core under_su; }
@test "life: the first thread ends before the others" { scenario --core leader_is_gone; }
@test "life: the target ends, is killed, is a zombie" { scenario --core ends_while_traced; }
@test "life: forks, execs, threads that come and go" { scenario --core --times 10 forks_execs_threads; }
@test "life: 10,000 short threads" { scenario --core many_threads; }
@test "life: vizbpf does not answer at the first call of an idle process" { scenario --core hung_at_first_call; }
@test "life: sub-interpreters" { scenario --core subinterpreters; }
@test "hostile: files that look like libpython" { scenario --times 10 crafted_library; }
@test "hostile: escapes in names" { scenario --core odd_names; }
@test "hostile: a ring made shorter, or full of nonsense" { scenario --core spoilt_ring; }
@test "hostile: calls said to be of another process's thread" { scenario --core stolen_thread; }
@test "hostile: functions without end" { scenario --core many_functions; }
@test "confined: nothing left of descriptors, addresses, file size; locked memory; no writable code" { scenario --core at_limits; }
@test "confined: a memory cgroup without room" { scenario --core no_memory_left; }
@test "company: strace, gdb" { scenario --core supervised; }
@test "company: valgrind" { scenario simulated; }
@test "output: links, modes, owner, replacement" { scenario --core output_files; }
@test "output: traps in a directory that others write to" { scenario --core output_traps; }
@test "no system(), no shell" { scenario no_shell; }
