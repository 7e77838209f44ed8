package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options say where commands go and how. Project, Token and one of URL and URLs are required; the zero value of all else is a
// good choice.
type Options struct {
	URL  string   // the server, such as https://track.example.com
	URLs []string // instead of URL, several: one is drawn and kept until it fails

	// Discover has the servers read from /api/servers at URL or URLs. Name then chooses one and no other; Region those of a
	// region as long as any of them answers.
	Discover     bool
	Name, Region string

	Project string // the project's token, a UUID
	Token   string // of a public key of the project

	Interval  time.Duration // how long a command waits for others to share its request; 0 is a second
	BatchSize int           // commands in a request at most; 0 is 50, which is also the most
	Timeout   time.Duration // for one request; 0 is 30 s
	MaxDelay  time.Duration // between two attempts, where the server names no time; 0 is 30 s

	// Dir keeps the queue on disk, so that it survives the end of the process. It belongs to one client at a time; what it
	// holds from an earlier one is sent first. Empty: the queue is in memory.
	Dir        string
	Sync       SyncPolicy
	QueueBytes int64 // of waiting commands; 0 is 64 MiB
	WhenFull   FullPolicy

	// OnReject learns each command that a server has refused for good. A
	// goroutine of its own calls it, one call at a time, in order. It does not
	// hold up sending: commands that it has yet to learn wait in memory. If
	// they take more than 4 MiB, the rest is left out and counted by
	// Stats.Untold. OnReject may call the client; Flush and Close need ctx
	// then, or they would wait until OnReject itself has returned. ctx does not
	// end.
	OnReject func(ctx context.Context, r Rejection)

	// OnTrouble is told, in the same way, of what goes wrong while commands are kept and tried again: a server that is out of
	// reach, a key or a project that it does not know (an [AnswerError] of status 401, 403, 400 or 404), a disk that fails. Much
	// of it passes by itself; a wrong key does not. If it is slow, some of it is left out.
	OnTrouble func(ctx context.Context, err error)

	// Transport sends the requests; nil is a transport of this client's own.
	Transport http.RoundTripper
}

// SyncPolicy says when what is queued in a directory is forced to the disk. Whatever it is, the end of the process, SIGKILL
// included, loses nothing: this is about power cuts.
type SyncPolicy int

// The policies.
const (
	SyncEachSecond SyncPolicy = iota // a power cut loses up to a second
	SyncAlways                       // Track returns when the command is on the disk; concurrent calls share a sync
	SyncNever                        // the system decides: usually up to half a minute
)

// FullPolicy says what happens to a command for which the queue has no room.
type FullPolicy int

// The policies. What is dropped is counted, see [Stats].
const (
	DropNewest FullPolicy = iota // Track returns ErrFull
	DropOldest                   // the longest-waiting command makes room
	Block                        // Track waits until there is room
)

// Rejection is a command that is not sent again, since no server would take it.
type Rejection struct {
	Command json.RawMessage // as it was sent: name and data
	Status  int             // of the answer; 200 where the rest of its batch was stored
	Reason  string          // the server's words
}

// Stats count what has become of commands since the client was made.
type Stats struct {
	Queued    int    // waiting or on their way, those from an earlier client included
	Delivered uint64 // acknowledged by a server
	Rejected  uint64 // refused for good
	Untold    uint64 // of these, not told to OnReject, which was too slow
	Dropped   uint64 // for want of room
	Damaged   uint64 // could not be read back from the directory
	Requests  uint64 // batches sent, repetitions included
	Limited   uint64 // of these, answered 429
	Failed    uint64 // of these, not answered, or in a way that asks to try again, 429 apart
	Denied    uint64 // of the latter, not let in: the key or the project is not known, or it is not our server
	LastError string // why the latest request failed; empty once one has succeeded
}

// The reasons why a command is not taken.
var (
	ErrFull   = errors.New("the queue is full")
	ErrClosed = errors.New("the client is closed")
	ErrLocked = errors.New("the directory is in use by another client") // of New
)

// UndeliveredError is returned by [Client.Close] and [Client.Flush] that had to end before all was delivered.
type UndeliveredError struct {
	Commands int  // how many; those on their way may have arrived
	Kept     bool // they are in the directory, for the next client
	Cause    error

	LastError string // why the latest request failed; empty if it did not
}

func (e *UndeliveredError) Error() string {
	fate := "not delivered"
	if e.Kept {
		fate = "not delivered yet and kept"
	}
	text := fmt.Sprintf("%d commands %s: %v", e.Commands, fate, e.Cause)
	if e.LastError != "" {
		text += "; the latest request failed: " + e.LastError
	}
	return text
}

// Unwrap returns the cause.
func (e *UndeliveredError) Unwrap() error { return e.Cause }

// AnswerError is an answer other than was asked for.
type AnswerError struct {
	Status int
	Reason string
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("the server answers %d: %s", e.Status, e.Reason)
}

// The defaults; openapi/vectors holds those that are shared with the other SDKs.
const (
	defaultInterval = time.Second
	defaultTimeout  = 30 * time.Second
	defaultMaxDelay = 30 * time.Second
	defaultQueue    = 64 << 20
)

// complete checks the options and fills in the defaults.
func (o *Options) complete() error {
	if o.URL != "" {
		o.URLs = append([]string{o.URL}, o.URLs...)
	}
	if len(o.URLs) == 0 {
		return errors.New("options: URL is required, such as https://track.example.com")
	}
	urls := make([]string, len(o.URLs))
	for i, u := range o.URLs {
		if urls[i] = serverURL(u, ""); urls[i] == "" {
			return fmt.Errorf("options: %q is no address of a server, such as https://track.example.com", hidePassword(u))
		}
	}
	o.URLs = urls
	switch {
	case o.Project == "" || strings.ContainsAny(o.Project, "/?# "):
		return errors.New("options: Project must be the project's token")
	case o.Token == "" || strings.ContainsAny(o.Token, "\r\n"):
		return errors.New("options: Token must be the token of a public key")
	case (o.Name != "" || o.Region != "") && !o.Discover:
		return errors.New("options: Name and Region need Discover")
	case o.BatchSize < 0 || o.BatchSize > maxCommands:
		return fmt.Errorf("options: BatchSize is %d, at most %d", o.BatchSize, maxCommands)
	case o.Interval < 0 || o.Timeout < 0 || o.MaxDelay < 0 || o.QueueBytes < 0:
		return errors.New("options: durations and sizes must not be negative")
	}
	o.BatchSize = orElse(o.BatchSize, maxCommands)
	o.Interval = orElse(o.Interval, defaultInterval)
	o.Timeout = orElse(o.Timeout, defaultTimeout)
	o.MaxDelay = orElse(o.MaxDelay, defaultMaxDelay)
	o.QueueBytes = orElse(o.QueueBytes, defaultQueue)
	return nil
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// serverURL returns an address without a slash at its end, or nothing if it is no address of a server, or if it is not
// encrypted and the one that led to it is.
func serverURL(text, from string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return ""
	}
	if u.Scheme == "http" && strings.HasPrefix(from, "https:") {
		return ""
	}
	return strings.TrimRight(u.String(), "/")
}

// hidePassword returns an address for an error: what may hold a password is not shown.
func hidePassword(text string) string {
	if strings.Contains(text, "@") {
		return "…"
	}
	return text
}
