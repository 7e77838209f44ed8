package doctor

import (
	"errors"
	"os"
	"time"
)

// Host measures the machine. Tests replace it.
type Host struct {
	Sync  func(dir string, rounds int) ([]time.Duration, error) // how long each of some small durable writes takes
	Free  func(dir string) (free, total uint64, err error)      // bytes of the file system for users other than root
	Files func() (uint64, error)                                // how many files a process may open
}

// ThisHost returns the machine that the program runs on. Measurements that it
// cannot make return [errors.ErrUnsupported].
func ThisHost() Host { return Host{Sync: syncTimes, Free: freeBytes, Files: openFiles} }

const blockBytes = 4 << 10

// syncTimes appends to a file in dir and forces it to the disk, for a number of
// rounds or two seconds. Then it removes the file.
func syncTimes(dir string, rounds int) (times []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, blockBytes)
	const longest = 2 * time.Second
	for began := time.Now(); len(times) < rounds && time.Since(began) < longest; {
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		before := time.Now()
		if err := f.Sync(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(before))
	}
	return times, nil
}
