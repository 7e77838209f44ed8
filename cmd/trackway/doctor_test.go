package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trackway/internal/doctor"
)

// examines runs the doctor on an installation that is not running, on a machine
// without faults.
func examines(t *testing.T, c doctorCommand) (stdout string, err error) {
	t.Helper()
	var out, errs strings.Builder
	err = c.examine(output{&out, &errs}, doctor.Host{
		Sync:  func(string, int) ([]time.Duration, error) { return []time.Duration{time.Millisecond}, nil },
		Free:  func(string) (free, total uint64, err error) { return 50e9, 100e9, nil },
		Files: func() (uint64, error) { return 65536, nil },
	})
	return out.String(), err
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	runs(t, fine, "init", "--config", path)
	c := doctorCommand{configFile: configFile{Config: path}, settings: settings{Listen: "127.0.0.1:1"}}
	stdout, err := examines(t, c)
	if err != nil {
		t.Errorf("got %v, want a warning to be no failure", err)
	}
	contains(t, "doctor", stdout, "OK    disk sync      median 1ms, p99 1ms in ")
	contains(t, "doctor", stdout, "WARN  server         does not answer at http://127.0.0.1:1: ")
	contains(t, "doctor", stdout, "\n                     → start it (trackway serve)")

	c.JSON = true
	stdout, err = examines(t, c)
	var answer struct {
		Worst    doctor.Level
		Findings []doctor.Finding
	}
	if jsonErr := json.Unmarshal([]byte(stdout), &answer); jsonErr != nil || err != nil || answer.Worst != doctor.Warn ||
		len(answer.Findings) < 8 {
		t.Errorf("got %s, %v, %v", stdout, jsonErr, err)
	}
}

// TestDoctorBeforeTheCertificate: as long as an authority has issued no
// certificate, the doctor says so, and goes on.
func TestDoctorBeforeTheCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "t.yaml")
	write(t, path, "projects: [{name: demo, token: 12345678-1234-1234-1234-123456789abc}]\ntls: {acme: {hosts: [track.example.com]}}\n")
	stdout, err := examines(t, doctorCommand{configFile: configFile{Config: path}, settings: settings{Listen: "127.0.0.1:1", DataDir: filepath.Join(dir, "data")}})
	if !errors.Is(err, errUnwell) {
		t.Errorf("got %v", err)
	}
	contains(t, "certificate", stdout, "FAIL  certificate    track.example.com has no certificate from https://acme-v02.api.letsencrypt.org/directory yet")
	contains(t, "server", stdout, "WARN  server         does not answer at https://127.0.0.1:1: ")
}

func TestDoctorFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	_, stderr := runs(t, failed, "doctor", "--config", path)
	contains(t, "no configuration", stderr, "no such file")

	write(t, path, "shade: blue\n")
	stdout, stderr := runs(t, failed, "doctor", "--config", path)
	contains(t, "wrong configuration", stdout, "FAIL  config         "+path+":1:1: shade: unknown key")
	contains(t, "wrong configuration", stderr, "something is wrong")

	runs(t, fine, "init", "--config", path+"2")
	if err := os.WriteFile(path+"3", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, err := examines(t, doctorCommand{configFile: configFile{Config: path + "2"}, settings: settings{
		DataDir: path + "3",
		Listen:  "127.0.0.1:1",
	}})
	if err == nil {
		t.Error("not a data directory: got no error")
	}
	contains(t, "not a data directory", stdout, "FAIL  disk sync")
}

// TestDoctorWithoutEnvironment: only the server may have the variables that the
// configuration names. Everything else is examined all the same.
func TestDoctorWithoutEnvironment(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	runs(t, fine, "init", "--config", path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	section := "\ndestinations: [{name: warehouse, kind: postgres, url_env: TRACKWAY_TEST_NO_SUCH_VARIABLE}]\n"
	write(t, path, string(text)+section)
	c := doctorCommand{configFile: configFile{Config: path}, settings: settings{Listen: "127.0.0.1:1"}}
	stdout, err := examines(t, c)
	if err != nil {
		t.Errorf("got %v, want a warning", err)
	}
	contains(t, "doctor", stdout, "destinations[0].url_env: names an environment variable that is not set, or empty\n                     → if the server was started with")
	contains(t, "doctor", stdout, "OK    disk sync ")

	for _, wrong := range []string{section + "shade: blue\n", "\ndestinations: [{name: out, kind: file, path: ./out, url_env: TRACKWAY_TEST_NO_SUCH_VARIABLE}]\n"} {
		write(t, path, string(text)+wrong)
		stdout, err = examines(t, c)
		if err == nil {
			t.Errorf("got %s, want a failure", stdout)
		}
		contains(t, "another mistake", stdout, "FAIL  config ")
	}
}
