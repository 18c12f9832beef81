package doctor

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// locker returns the process that holds a lock on a file, if the system shows it. Trying the lock
// could make a zoomstream that starts at this moment fail, so it reads the kernel's list instead
// (proc_locks(5)). The list lacks processes in other containers and locks on some file systems, so
// false may mean unknown.
func locker(file string) (pid int, known bool) {
	var st syscall.Stat_t
	if syscall.Stat(file, &st) != nil {
		return 0, false
	}
	list, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0, false
	}
	dev := uint64(st.Dev)
	major, minor := dev>>8&0xfff|dev>>32&^0xfff, dev&0xff|dev>>12&^0xff
	wanted := fmt.Sprintf("%02x:%02x:%d", major, minor, st.Ino)
	for line := range strings.Lines(string(list)) { // 1: FLOCK  ADVISORY  WRITE 26533 fe:00:10470911 0 EOF
		if f := strings.Fields(line); len(f) > 5 && f[1] == "FLOCK" && f[5] == wanted {
			pid, err := strconv.Atoi(f[4])
			return pid, err == nil
		}
	}
	return 0, false
}
