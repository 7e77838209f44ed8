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

// Options say where commands go and how. Project, either URL or URLs, and a key
// (Token, or KeyID and Secret) are required. The zero values of all other
// fields are good defaults.
type Options struct {
	URL  string   // the server, such as https://track.example.com
	URLs []string // several servers, instead of URL: one is drawn and kept until it fails

	// Discover reads the list of servers from /api/servers at URL or URLs. Name
	// then restricts the client to one server. Region prefers the servers of a
	// region as long as any of them answers.
	Discover     bool
	Name, Region string

	Project string // the project's token, a UUID
	Token   string // the token of a public key of the project

	// A private key, instead of Token. [Client.Read] needs a key that may read.
	KeyID, Secret string

	Interval  time.Duration // how long a command waits for others to share its request; 0 is a second
	BatchSize int           // most commands in a request; 0 is 50, which is also the maximum
	Timeout   time.Duration // for one request; 0 is 30 s
	MaxDelay  time.Duration // between two attempts, unless the server names a time; 0 is 30 s

	// Dir keeps the queue on disk, so that it survives the end of the process.
	// Only one client at a time can use it. A client first sends the commands
	// that an earlier one left. If Dir is empty, the queue is in memory.
	Dir        string
	Sync       SyncPolicy
	QueueBytes int64 // of waiting commands; 0 is 64 MiB
	WhenFull   FullPolicy

	// OnReject receives each command that a server has refused for good. A
	// separate goroutine makes the calls, one at a time and in order. Sending
	// does not wait for it: pending calls wait in memory, up to 4 MiB;
	// Stats.Untold counts those left out for lack of room. OnReject may call
	// the client, but must pass ctx to Flush and Close: otherwise these would
	// wait for OnReject itself to return. ctx does not end.
	OnReject func(ctx context.Context, r Rejection)

	// OnTrouble receives what goes wrong while commands are kept and retried: a
	// server that cannot be reached, a key or project that the server does not
	// know (an [AnswerError] of status 401, 403, 400 or 404), a disk that
	// fails. It is called in the same way as OnReject. Most troubles pass by
	// themselves; a wrong key does not. If OnTrouble is slow, some calls are
	// left out.
	OnTrouble func(ctx context.Context, err error)

	// Transport sends the requests. If it is nil, the client uses a transport
	// of its own.
	Transport http.RoundTripper
}

// SyncPolicy says when a queue in a directory is forced to the disk. It matters
// for power cuts only: under every policy, nothing is lost when the process
// ends, even by SIGKILL.
type SyncPolicy int

// The sync policies.
const (
	SyncEachSecond SyncPolicy = iota // a power cut loses up to a second
	SyncAlways                       // Track returns when the command is on the disk; concurrent calls share a sync
	SyncNever                        // the system decides when, usually within half a minute
)

// FullPolicy says what happens to a command when the queue has no room for it.
type FullPolicy int

// The policies for a full queue. [Stats] counts the dropped commands.
const (
	DropNewest FullPolicy = iota // Track returns ErrFull
	DropOldest                   // the command that has waited longest makes room
	Block                        // Track waits until there is room
)

// Rejection is a command that the client gives up, since no server would accept
// it.
type Rejection struct {
	Command json.RawMessage // as it was sent: name and data
	Status  int             // of the answer; 200 if the rest of its batch was stored
	Reason  string          // in the server's words
}

// Stats counts what has happened to commands since the client was made.
type Stats struct {
	Queued    int    // waiting or on their way, an earlier client's included
	Delivered uint64 // acknowledged by a server
	Rejected  uint64 // refused for good
	Untold    uint64 // of these, not reported to OnReject because it was too slow
	Dropped   uint64 // dropped because the queue was full
	Damaged   uint64 // could not be read back from the directory
	Requests  uint64 // batches sent, retries included
	Limited   uint64 // of these, answered 429
	Failed    uint64 // of these, without an answer or with one that asks to try again, other than 429
	Denied    uint64 // of the failed ones, not let in: the key or project is unknown, or it is not our server
	LastError string // why the latest request failed; empty once one has succeeded
}

// The reasons why a command is not accepted.
var (
	ErrFull   = errors.New("the queue is full")
	ErrClosed = errors.New("the client is closed")
	ErrLocked = errors.New("the directory is in use by another client") // returned by New
)

// UndeliveredError is the error of [Client.Close] and [Client.Flush] if they
// end before everything is delivered.
type UndeliveredError struct {
	Commands int  // how many; those on their way may have arrived
	Kept     bool // they are in the directory, for the next client
	Cause    error

	LastError string // why the latest request failed; empty if it did not
}

func (e *UndeliveredError) Error() string {
	fate := "not delivered"
	if e.Kept {
		fate = "not delivered yet, but kept"
	}
	text := fmt.Sprintf("%d commands %s: %v", e.Commands, fate, e.Cause)
	if e.LastError != "" {
		text += "; the latest request failed: " + e.LastError
	}
	return text
}

// Unwrap returns the cause.
func (e *UndeliveredError) Unwrap() error { return e.Cause }

// AnswerError is an unexpected answer of a server.
type AnswerError struct {
	Status int
	Reason string
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("the server answers %d: %s", e.Status, e.Reason)
}

// The defaults. openapi/vectors holds those that all SDKs share.
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
			return fmt.Errorf("options: %q is not the address of a server, such as https://track.example.com", hidePassword(u))
		}
	}
	o.URLs = urls
	switch {
	case o.Project == "" || strings.ContainsAny(o.Project, "/?# "):
		return errors.New("options: Project must be the project's token")
	case (o.KeyID == "") != (o.Secret == ""):
		return errors.New("options: KeyID and Secret belong together")
	case o.KeyID != "" && (o.Token != "" || strings.Contains(o.KeyID, ":")):
		return errors.New("options: KeyID must be the id of a private key, which takes the place of Token")
	case o.KeyID == "" && (o.Token == "" || strings.ContainsAny(o.Token, "\r\n")):
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

// serverURL returns an address without a trailing slash. It returns an empty
// string if the text is not an address of a server, or if it is not encrypted
// although from, the address that led to it, is.
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

// hidePassword returns an address as it may appear in an error: without the
// parts that may hold a password.
func hidePassword(text string) string {
	if strings.Contains(text, "@") {
		return "…"
	}
	return text
}
