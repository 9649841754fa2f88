#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The target is not harmed: on every interpreter of the machine, and often.

load common.bash

@test "greenlets: imported before the attach" { scenario greenlets_before; }
@test "greenlets: imported while traced" { scenario greenlets_after; }
@test "greenlets: hundreds suspended at attach and detach" { scenario greenlets_suspended; }
@test "depth: every call of a stack 950 deep" { scenario thousand_deep; }
@test "depth: 50,000 with a raised limit, small stacks, same outcome" { scenario deep_recursion; }
@test "depth: vizbpf hangs or is killed while it must step back" { scenario --times 10 deep_and_killed; }
@test "depth: SIGKILL at random moments of deep recursions" { scenario --times 30 killed_in_recursion; }
@test "depth: a thread with a small stack is hardly ever stopped" { scenario small_stacks; }
@test "depth: recording goes on when the end of such a thread is lost" { scenario small_stack_unseen; }
@test "no trace left: SIGINT, SIGTERM, -d" { scenario ends_normally; }
@test "no trace left: SIGKILL at 100 random moments" { scenario --core --times 100 killed; }
@test "no trace left: SIGKILL at random moments, every minor version" { scenario --times 10 killed; }
@test "no trace left: SIGKILL while the probes are taken out" { scenario killed_while_ending; }
@test "no trace left: the guardian is killed too, --restore" { scenario guardian_killed_too; }
@test "no trace left: children that inherited the slot" { scenario children_that_inherited; }
@test "load: 200 cycles of attach and detach under 8 busy threads" { scenario --core --times 200 cycles; }
@test "company: setprofile, settrace, monitoring" { scenario profiled_and_debugged; }
@test "company: a debugger" { scenario debugger; }
@test "company: coverage.py" { scenario coverage; }
@test "company: another PEP 523 user" { scenario another_eval_function; }
@test "company: -X perf and sys.activate_stack_trampoline" { scenario perf_trampoline; }
@test "company: -X perf, started by vizbpf" { scenario perf_from_the_start; }
@test "company: another tracer's USDT semaphores" { scenario foreign_semaphores; }
@test "company: a second vizbpf is told who holds the process" { scenario second_vizbpf; }
@test "life: a stopped target stays stopped" { scenario stopped_target; }
@test "life: started by su, which minds stops" { scenario under_su; }
@test "life: the first thread ends before the others" { scenario leader_is_gone; }
@test "life: the target ends, is killed, is a zombie" { scenario ends_while_traced; }
@test "life: forks, execs, threads that come and go" { scenario --times 200 forks_execs_threads; }
@test "life: 10,000 short threads" { scenario many_threads; }
@test "life: vizbpf does not answer at the first call of an idle process" { scenario hung_at_first_call; }
@test "life: sub-interpreters" { scenario subinterpreters; }
@test "life: a second libpython" { scenario second_libpython; }
@test "hostile: a library swapped for a link to the host" { scenario swapped_library; }
@test "hostile: files that look like libpython" { scenario --times 200 crafted_library; }
