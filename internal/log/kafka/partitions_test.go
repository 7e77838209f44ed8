package kafka

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"trackway/internal/log/raft"
)

// servePartitions opens the logs of a server with several partitions.
func servePartitions(t *testing.T, url string, o Options) []*server {
	t.Helper()
	all := make([]*server, o.Partitions)
	for i := range all {
		of := o
		of.Partition = byte(i)
		all[i] = serve(t, url, new(state), of)
	}
	return all
}

// TestPartitions: each partition of the data has its own partition of the
// topic: its own entries, server that leads, and beginning.
func TestPartitions(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	o := Options{Topic: newTopic(), Partitions: 3}
	a, b := servePartitions(t, url, o), servePartitions(t, url, o)
	for i, begins := range [][]*server{a, b, a} {
		if err := begins[i].Bootstrap(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range a {
		awaitReady(t, a[i].Log)
		awaitReady(t, b[i].Log)
		for n := range i + 1 {
			a[i].visit(t, fmt.Sprintf("p%d %d", i, n))
		}
	}
	for i := range b {
		want := make([]string, i+1)
		for n := range want {
			want[n] = fmt.Sprintf("p%d %d", i, n)
		}
		b[i].wants(t, want...)
		a[i].wants(t, want...)
		leader, other := a[i], b[i]
		if i == 1 {
			leader, other = b[i], a[i]
		}
		await(t, func() error {
			_, one := leader.Leading()
			_, two := other.Leading()
			if !one || two || other.Status().Leader != leader.Log.o.Network.Advertise() {
				return fmt.Errorf("partition %d: %v and %v lead", i, one, two)
			}
			return nil
		})
		if n := len(a[i].Status().Members); n != 2 {
			t.Errorf("partition %d has %d members", i, n)
		}
	}

	// One partition is cleaned, and the others keep what they have. A new
	// server gets the state of that one, and the entries of the others.
	await(t, func() error { return a[2].Clean(t.Context()) })
	admin := kadm.NewClient(clientOf(t, url))
	starts, err := admin.ListStartOffsets(t.Context(), o.Topic)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a {
		if start, _ := starts.Lookup(o.Topic, int32(i)); (start.Offset > 0) != (i == 2) {
			t.Errorf("partition %d begins at %d", i, start.Offset)
		}
	}
	c := servePartitions(t, url, o)
	if err := <-c[2].fatal; !errors.Is(err, raft.ErrRestart) {
		t.Fatal(err)
	}
	c[2] = c[2].again(t, url)
	c[2].wants(t, "p2 0", "p2 1", "p2 2")
	c[1].wants(t, "p1 0", "p1 1")
}

// TestNumberOfPartitions: the topic of a new log must have as many partitions
// as the data, and so must a server that takes part later. More of them, later,
// do no harm.
func TestNumberOfPartitions(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	admin := kadm.NewClient(clientOf(t, url))
	for has, needs := range map[int32]int{2: 3, 4: 3} {
		topic := newTopic()
		set := make(map[string]*string)
		for key, value := range logSettings {
			set[key] = &value
		}
		if _, err := admin.CreateTopic(t.Context(), has, 1, set, topic); err != nil {
			t.Fatal(err)
		}
		serve(t, url, new(state), Options{Topic: topic, Partitions: needs}).refuses(t, fmt.Sprintf("has %d partitions, and must have %d", has, needs))
	}

	o := Options{Topic: newTopic(), Partitions: 2}
	a := serve(t, url, new(state), o)
	if err := a.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, a.Log)
	a.visit(t, "a1")
	for _, other := range []int{1, 3} {
		late := o
		late.Partitions = other
		want := fmt.Sprintf("is of data with 2 partitions, and this server has %d", other)
		if other > 2 {
			want = "has 2 partitions, and must have 3"
		}
		serve(t, url, new(state), late).refuses(t, want)
	}
	if _, err := admin.CreatePartitions(t.Context(), 1, o.Topic); err != nil {
		t.Fatal(err)
	}
	a = a.again(t, url)
	awaitReady(t, a.Log)
	a.visit(t, "a2")
	b := serve(t, url, new(state), o)
	b.wants(t, "a1", "a2")
}
