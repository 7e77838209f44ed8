package dashboard

import (
	"runtime"
	"runtime/metrics"
	"syscall"
)

// Health is the state of the process.
type Health struct {
	Ready      bool   `json:"ready"`
	Reason     string `json:"reason"`      // why it is not ready
	Damaged    int    `json:"damaged"`     // unreadable places found in the store since the start
	DiskFree   uint64 `json:"disk_free"`   // bytes free on the data directory's disk
	StoreBytes uint64 `json:"store_bytes"` // bytes on the disk
	Memory     uint64 `json:"memory"`      // bytes that the process has from the system
	Goroutines int    `json:"goroutines"`
}

// Disk is what health needs of the store.
type Disk interface {
	Damaged() int
	DiskBytes() uint64
}

// HealthOf returns the state of the process, with its data in dir. notReady is
// why it accepts no requests, or nil. Values that are unavailable are 0.
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
