package object

import (
	"context"
	"errors"
)

// Bucket holds objects by name. A name is a path with slashes, relative to the
// place that the destination owns. Each operation on one object is atomic, and
// is durable when it returns without an error. After an error it may have taken
// effect nevertheless, or may still do so.
//
// A tag identifies the content of an object. Different contents have different
// tags, and a tag is never empty.
type Bucket interface {
	// Get returns an object's content and tag, or [fs.ErrNotExist].
	Get(ctx context.Context, name string) (data []byte, tag string, err error)

	// Create makes a new object. If the name is taken, the error is
	// [fs.ErrExist].
	Create(ctx context.Context, name string, data []byte) (tag string, err error)

	// Replace replaces the content with the given tag. If the object has
	// another content, or does not exist, the error is [ErrChanged].
	Replace(ctx context.Context, name, tag string, data []byte) (newTag string, err error)

	// Delete removes an object. If it does not exist, that is not an error.
	Delete(ctx context.Context, name string) error

	// List calls yield with the names that begin with a prefix, in order, until
	// yield returns false. A prefix ends with a slash.
	List(ctx context.Context, prefix string, yield func(name string) bool) error
}

// Appender is a bucket whose objects can grow in place, such as a folder. A
// crash may leave a part of what was appended.
type Appender interface {
	// Append adds data to an object of the given size. If it has another size
	// or does not exist, the error is [ErrChanged].
	Append(ctx context.Context, name string, size int64, data []byte) error

	// Truncate shortens an object.
	Truncate(ctx context.Context, name string, size int64) error
}

// ErrChanged is the error of a conditional write if the object has changed.
var ErrChanged = errors.New("the object has changed in the meantime")
