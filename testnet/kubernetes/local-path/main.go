// Makes or removes the folder of a volume on a node: what the storage provisioner runs in a pod there, which is a shell
// script elsewhere.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	path := flag.String("p", "", "the folder")
	action := flag.String("a", "", "create or delete")
	flag.String("s", "", "its size, which nothing enforces")
	flag.String("m", "", "its mode: a file system or a block device")
	flag.Parse()
	if err := do(*action, *path); err != nil {
		fmt.Fprintln(os.Stderr, "volume:", err)
		os.Exit(1)
	}
}

func do(action, path string) error {
	switch action {
	case "create":
		if err := os.MkdirAll(path, 0o777); err != nil {
			return err
		}
		// Whoever the pod's user is, it may write; no mask of this process counts.
		return os.Chmod(path, 0o777)
	case "delete":
		return os.RemoveAll(path)
	}
	return fmt.Errorf("no action %q", action)
}
