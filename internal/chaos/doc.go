// Package chaos breaks a cluster as machines, disks and networks do, while
// clients write to it, and checks that nothing acknowledged is lost or doubled.
//
// The servers are the real binary. Each has a network namespace and a disk of
// its own, and the network between them is a switch in the test
// (switchboard), which cuts, loses and delays packets. So the tests need root
// on Linux, but no program except mkfs and mount. The kernel takes everything
// apart when the test process ends, also if it is killed: no namespace, device
// or mount has a name outside of it.
//
// `make chaos` runs for an hour, and the tests make a few rounds.
package chaos
