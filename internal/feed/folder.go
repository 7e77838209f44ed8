package feed

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Files returns the given files, and for a folder all files below it, in the
// order of their names. Object storage is usually copied as folders, whose
// names are times. Of a folder it passes over hidden files, the files that an
// import leaves, and those that say something about the others: manifest.json,
// and names that begin with an underscore. It is an error if a folder has no
// files.
func Files(paths []string) ([]string, error) {
	var all []string
	for _, path := range paths {
		if info, err := os.Stat(path); path == Stdin || err != nil || !info.IsDir() {
			all = append(all, path) // opening it tells what is wrong with it
			continue
		}
		before := len(all)
		err := filepath.WalkDir(path, func(below string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case below != path && passedOver(entry.Name()):
				if entry.IsDir() {
					return fs.SkipDir
				}
			case !entry.IsDir():
				all = append(all, below)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(all) == before {
			return nil, fmt.Errorf("%s: there are no files in the folder", path)
		}
	}
	return all, nil
}

func passedOver(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "manifest.json" ||
		strings.HasSuffix(name, stateSuffix) || strings.HasSuffix(name, rejectsSuffix)
}
