package doctor

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// locker is the process that has a lock on a file, if this system says so. To try
// the lock would keep it from a zoomstream that starts at this moment, so that the
// kernel's list is read (proc_locks(5)). A process in another container is not on it,
// nor is a lock on some kinds of file systems: false may mean that nobody knows.
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
