package dashboard

import (
	"runtime"
	"runtime/metrics"
	"syscall"
)

// Health is how the process is.
type Health struct {
	Ready      bool   `json:"ready"`
	Reason     string `json:"reason"`      // why it is not
	Damaged    int    `json:"damaged"`     // places of the store that could not be read since the start
	DiskFree   uint64 `json:"disk_free"`   // bytes, of the data directory's disk
	StoreBytes uint64 `json:"store_bytes"` // on the disk
	Memory     uint64 `json:"memory"`      // bytes that the process has from the system
	Goroutines int    `json:"goroutines"`
}

// Disk is the store, as far as health goes.
type Disk interface {
	Damaged() int
	DiskBytes() uint64
}

// HealthOf returns how the process is, with its data in a directory. notReady
// says why it takes no requests, nil if it does. What cannot be had is 0.
func HealthOf(notReady error, disk Disk, dir string) Health {
	const mapped = "/memory/classes/total:bytes"
	sample := []metrics.Sample{{Name: mapped}}
	metrics.Read(sample)
	h := Health{
		Ready: notReady == nil, Damaged: disk.Damaged(), StoreBytes: disk.DiskBytes(),
		Memory: sample[0].Value.Uint64(), Goroutines: runtime.NumGoroutine(),
	}
	if notReady != nil {
		h.Reason = notReady.Error()
	}
	var fs syscall.Statfs_t
	if syscall.Statfs(dir, &fs) == nil {
		h.DiskFree = fs.Bavail * uint64(fs.Bsize)
	}
	return h
}
