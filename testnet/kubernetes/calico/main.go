// Felix, which enforces network policies on a node, and Calico's CNI plugin, as one binary: they share most of what
// they link. It is Felix under the name `felix` and the plugin under the name `calico`, which its links have.
package main

import (
	"os"
	"path/filepath"

	"github.com/projectcalico/calico/cni-plugin/pkg/plugin"
	"github.com/projectcalico/calico/felix/daemon"
)

const version = "v3.29"

func main() {
	switch filepath.Base(os.Args[0]) {
	case "calico":
		plugin.Main(version)
	case "felix":
		// Its settings come from the environment: this file need not exist.
		daemon.Run("/etc/calico/felix.cfg", version, "", "")
	default:
		os.Stderr.WriteString("calico: run it under the name felix or calico\n")
		os.Exit(2)
	}
}
