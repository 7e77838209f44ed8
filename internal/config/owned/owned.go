// Package owned reads and seals the file that the program owns. It does not
// know what the file says.
package owned

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// checksumHead begins the last line of the managed file: the SHA-256 of
// everything above. Without it, a flipped bit in a revoked token would put the
// key in force again. Anyone who has to edit the file by hand removes this
// line.
const checksumHead = "# SHA-256 of all above: "

// Seal appends the checksum to a text.
func Seal(text []byte) []byte {
	return fmt.Appendf(text, "%s%x\n", checksumHead, sha256.Sum256(text))
}

// Damaged reports whether the managed file has a wrong checksum.
func Damaged(text []byte) bool {
	body, sum, ok := bytes.Cut(text, []byte(checksumHead))
	return ok && string(sum) != fmt.Sprintf("%x\n", sha256.Sum256(body))
}

// Reader returns the managed file at path, and its mode. The error is
// [fs.ErrNotExist] if there is no file.
type Reader func(path string) ([]byte, fs.FileMode, error)

// errNoFile explains why we do not read anything but a regular file in the
// managed file's place. A dangling link would look like a file that does not
// exist yet, and revoked keys would be in force again. The next change would
// replace any link. A pipe would block its reader.
var errNoFile = errors.New("it is not a regular file")

// Read is the [Reader] for the file system.
func Read(path string) ([]byte, fs.FileMode, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errNoFile
	}
	text, err := os.ReadFile(path)
	return text, info.Mode(), err
}
