package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"trackway/internal/config"
	"trackway/internal/destination/object/objecttest"
	"trackway/internal/prereq"
)

const (
	accessKey = "trackwaytest"
	secretKey = "trackwaysecret"
)

// weed is a SeaweedFS process that all tests share.
var weed struct {
	once sync.Once
	port int
	stop func()
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if weed.stop != nil {
		weed.stop()
	}
	os.Exit(code)
}

// server returns the address of a running server.
func server(tb testing.TB) string {
	tb.Helper()
	program := objecttest.Program(tb, "weed", prereq.S3)
	weed.once.Do(func() { weed.err = startWeed(program) })
	if weed.err != nil {
		tb.Fatal(weed.err)
	}
	return "127.0.0.1:" + strconv.Itoa(weed.port)
}

// freePorts returns free ports p for which p+10000 is free, too. SeaweedFS uses
// that port for gRPC. Both lie below those that systems give to connections, so
// that none of those takes one meanwhile.
func freePorts(n int) (ports []int, err error) {
	for port := 11000 + os.Getpid()%9000; len(ports) < n; port++ {
		free := true
		for _, p := range []int{port, port + 10000} {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			ports = append(ports, port)
		}
		if port > 22000 {
			return nil, errors.New("no free ports")
		}
	}
	return ports, nil
}

func startWeed(program string) error {
	dir, err := os.MkdirTemp("", "trackway-weed-")
	if err != nil {
		return err
	}
	p, err := freePorts(6)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := exec.CommandContext(ctx, program, "mini", "-dir="+filepath.Join(dir, "data"), "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
		"-master.port="+strconv.Itoa(p[0]), "-volume.port="+strconv.Itoa(p[1]), "-filer.port="+strconv.Itoa(p[2]), "-s3.port="+strconv.Itoa(p[3]),
		"-admin.port="+strconv.Itoa(p[4]), "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-bucket=lake")
	run.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey, "HOME="+dir)
	var out bytes.Buffer
	run.Stdout, run.Stderr, run.Dir = &out, &out, dir
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		cancel()
		return err
	}
	if err := run.Start(); err != nil {
		cancel()
		return err
	}
	weed.port = p[3]
	ended := make(chan struct{})
	go func() { _ = run.Wait(); close(ended) }()
	weed.stop = func() {
		cancel()
		<-ended
		_ = os.RemoveAll(dir)
	}
	b, err := newBucket(settings("127.0.0.1:"+strconv.Itoa(weed.port), ""))
	if err != nil {
		return err
	}
	deadline := time.Now().Add(3 * time.Minute)
	for {
		err := b.core.MakeBucket(ctx, "lake", minio.MakeBucketOptions{})
		if exists, _ := b.core.BucketExists(ctx, "lake"); exists {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("SeaweedFS ended: %s", out.Bytes())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("SeaweedFS does not answer: %w\n%s", err, out.Bytes())
		}
	}
}

func settings(address, prefix string) config.Destination {
	return config.Destination{
		Name: "lake", Kind: "s3", URL: "http://" + accessKey + ":" + secretKey + "@" + address, Bucket: "lake", Prefix: prefix, Format: "parquet", Region: "us-east-1",
	}
}
