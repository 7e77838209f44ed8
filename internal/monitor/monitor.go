// Package monitor makes the monitor of Go's runtime cheaper.
//
// The monitor is a thread that takes processors away from threads that wait in
// a system call. As long as it finds such threads, it sleeps 20 µs at a time,
// and Linux adds up to 50 µs. A store waits in an fsync nearly all the time, so
// the monitor wakes more than 10 000 times a second, and takes 5 % of the
// processor time of events in batches, and 8 % of that of single events.
//
// Linux may end each sleep of a thread later than asked for, by up to the
// thread's slack. Only a thread itself can change its slack, and no code but
// the runtime's runs in the monitor. But a new thread gets the slack of the one
// that starts it, and a program that is replaced by another one leaves its
// slack to it. So the process runs its own program again.
package monitor
