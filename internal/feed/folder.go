package feed

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Files returns the given files, and all files below each given folder, in the
// order of their names. People usually copy object storage as folders, whose
// names are times. In folders Files skips hidden files, files that an import
// leaves behind, and files that describe others: manifest.json, and names that
// begin with an underscore. A folder without files is an error.
func Files(paths []string) ([]string, error) {
	var all []string
	for _, path := range paths {
		if info, err := os.Stat(path); path == Stdin || err != nil || !info.IsDir() {
			all = append(all, path) // open reports what is wrong
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
