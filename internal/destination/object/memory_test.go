package object

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

var errInjected = errors.New("injected")

// memory is a bucket in memory. It is not safe for concurrent use.
type memory struct {
	objects map[string][]byte
	late    []func() // writes that failed for their callers and have not taken effect yet

	// fail decides the fate of the next operation. after reports whether the
	// operation takes effect in spite of the error, and late whether that
	// happens later.
	fail func(op, name string) (after, late bool, err error)

	// watch is called after each change.
	watch func(op, name string)

	cache cache
}

func newMemory() *memory { return &memory{objects: map[string][]byte{}, cache: cache{}} }

func (b *memory) tag(data []byte) string { return sum(data) }

// do runs an operation that changes something.
func (b *memory) do(op, name string, change func() error) error {
	run := func() error {
		err := change()
		if b.watch != nil {
			b.watch(op, name)
		}
		return err
	}
	if b.fail != nil {
		if after, late, err := b.fail(op, name); err != nil {
			switch {
			case after:
				_ = run()
			case late:
				b.late = append(b.late, func() { _ = run() })
			}
			return err
		}
	}
	return run()
}

// arrive lets some late writes take effect.
func (b *memory) arrive(r *rand.Rand, all bool) {
	for i := 0; i < len(b.late); {
		if !all && r.IntN(3) > 0 {
			i++
			continue
		}
		b.late[i]()
		b.late = slices.Delete(b.late, i, i+1)
	}
}

func (b *memory) Get(_ context.Context, name string) ([]byte, string, error) {
	if b.fail != nil {
		if _, _, err := b.fail("get", name); err != nil {
			return nil, "", err
		}
	}
	data, ok := b.objects[name]
	if !ok {
		return nil, "", fs.ErrNotExist
	}
	return slices.Clone(data), b.tag(data), nil
}

func (b *memory) Create(_ context.Context, name string, data []byte) (string, error) {
	return b.tag(data), b.do("create", name, func() error {
		if _, ok := b.objects[name]; ok {
			return fs.ErrExist
		}
		b.objects[name] = slices.Clone(data)
		return nil
	})
}

func (b *memory) Replace(_ context.Context, name, tag string, data []byte) (string, error) {
	return b.tag(data), b.do("replace", name, func() error {
		old, ok := b.objects[name]
		if !ok || b.tag(old) != tag {
			return ErrChanged
		}
		b.objects[name] = slices.Clone(data)
		return nil
	})
}

func (b *memory) Delete(_ context.Context, name string) error {
	return b.do("delete", name, func() error {
		delete(b.objects, name)
		return nil
	})
}

func (b *memory) List(_ context.Context, prefix string, yield func(name string) bool) error {
	names := slices.Sorted(maps.Keys(b.objects))
	if b.fail != nil {
		if _, _, err := b.fail("list", prefix); err != nil {
			return err
		}
	}
	for _, name := range names {
		if strings.HasPrefix(name, prefix) && !yield(name) {
			return nil
		}
	}
	return nil
}

// growing is a memory whose objects grow in place. An append that fails leaves
// a part of its data.
type growing struct{ *memory }

func (b growing) Append(_ context.Context, name string, size int64, data []byte) error {
	err := b.do("append", name, func() error {
		if old, ok := b.objects[name]; !ok || int64(len(old)) != size {
			return ErrChanged
		}
		b.objects[name] = append(slices.Clone(b.objects[name]), data...)
		return nil
	})
	if errors.Is(err, errInjected) {
		if old, ok := b.objects[name]; ok && int64(len(old)) == size {
			b.objects[name] = append(slices.Clone(old), data[:len(data)/2]...)
		}
	}
	return err
}

func (b growing) Truncate(_ context.Context, name string, size int64) error {
	return b.do("truncate", name, func() error {
		if old, ok := b.objects[name]; ok {
			b.objects[name] = old[:size]
		}
		return nil
	})
}
