package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// place is where one server runs: a network namespace and a mount namespace. A
// thread of this process holds them. When it ends, the kernel removes them, and
// kills what was started in them.
type place struct {
	address netip.Addr
	wire    *os.File // packets from and to the namespace
	net     int      // a descriptor of the network namespace, for dialing
	work    chan func()
	ended   chan struct{}
}

// newPlace makes a place whose only interface, beside the loopback interface,
// ends at the returned place's wire.
func newPlace(address netip.Addr) (*place, error) {
	p := &place{address: address, work: make(chan func()), ended: make(chan struct{})}
	ready := make(chan error)
	go func() {
		defer close(p.ended)
		runtime.LockOSThread() // and never unlocked: the thread ends here
		err := p.enter()
		ready <- err
		for err == nil {
			f, more := <-p.work
			if !more {
				return
			}
			f()
		}
	}()
	if err := <-ready; err != nil {
		return nil, err
	}
	return p, nil
}

// enter moves this thread into new namespaces.
func (p *place) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts private: %w", err)
	}
	var err error
	if p.net, err = unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open the namespace: %w", err)
	}
	tun, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	if err := p.configure(tun); err != nil {
		return errors.Join(fmt.Errorf("configure the interface: %w", err), unix.Close(tun), unix.Close(p.net))
	}
	p.wire = os.NewFile(uintptr(tun), "tun")
	return nil
}

// mtu is large because the switch costs time for each packet.
const mtu = 9000

func (p *place) configure(tun int) error {
	const name = "wire"
	device, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	device.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(tun, unix.TUNSETIFF, device); err != nil {
		return err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(s) }()
	address := p.address.As4()
	for _, step := range []struct {
		device  string
		request uint
		value   func(*unix.Ifreq) error
	}{
		{"lo", unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
		{name, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(address[:]) }},
		{name, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }},
		{name, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil }},
		{name, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
	} {
		r, err := unix.NewIfreq(step.device)
		if err != nil {
			return err
		}
		if err := step.value(r); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, step.request, r); err != nil {
			return err
		}
	}
	return nil
}

// do calls a function in the place: what it opens or starts is there. It must
// not wait for anything.
func (p *place) do(f func()) {
	done := make(chan struct{})
	p.work <- func() {
		defer close(done)
		f()
	}
	<-done
}

// start starts a command in the place. The kernel kills it with the place.
func (p *place) start(cmd *exec.Cmd) (err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.do(func() { err = cmd.Start() })
	return err
}

// dial connects to an address as seen from the place, for example on its
// loopback interface.
func (p *place) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked, because the thread does not come back
		if failed = unix.Setns(p.net, unix.CLONE_NEWNET); failed == nil {
			conn, failed = new(net.Dialer).DialContext(ctx, network, address)
		}
	}()
	<-done
	return conn, failed
}

// disk puts a new file system of a size at a directory. Only the place sees it.
// The file that holds it appears beside the directory.
func (p *place) disk(dir string, mebibytes int64) error {
	image := filepath.Clean(dir) + ".img"
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(mebibytes<<20), f.Close(), os.MkdirAll(dir, 0o700)); err != nil {
		return err
	}
	for _, line := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", image},
		{"mount", "-o", "loop", image, dir},
	} {
		cmd := exec.Command(line[0], line[1:]...)
		var out []byte
		p.do(func() { out, err = cmd.CombinedOutput() })
		if err != nil {
			return fmt.Errorf("%s: %w: %s", line[0], err, out)
		}
	}
	return nil
}

// close removes the place. Its processes must have ended.
func (p *place) close() {
	close(p.work)
	<-p.ended
	_ = p.wire.Close()
	_ = unix.Close(p.net)
}
