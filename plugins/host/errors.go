package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"

	"google.golang.org/grpc/status"
)

// Kind is the kind of a plugin's failure.
type Kind int

// The kinds of a PluginError.
const (
	Start    Kind = iota // it could not be started or did not shake hands
	Crash                // its process died during a call, also after all retries
	Hang                 // it did not answer in time, also after all retries
	Returned             // it returned an error
	Refused              // Open refused the options or the run: a matter of configuration
	Reply                // its answer breaks the contract
	Checksum             // the file is not the one that was locked
	Changed              // after a restart it described itself or planned differently
)

var kindNames = []string{"start", "crash", "hang", "returned", "refused", "reply", "checksum", "changed"}

func (k Kind) String() string { return kindNames[k] }

// PluginError is a failure of a plugin. Its message names plugin, call, fault and remedy.
type PluginError struct {
	Plugin string // name or path
	Call   string // Describe, Open, Mask, ...; "" outside of calls
	Kind   Kind
	Text   string
	Stderr []string // the plugin's last lines on standard error
	Err    error    // the cause; may be nil
	retry  bool
}

func (e *PluginError) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "plugin %s: ", e.Plugin)
	if e.Call != "" {
		fmt.Fprintf(&s, "%s: ", e.Call)
	}
	s.WriteString(e.Text)
	if len(e.Stderr) > 0 {
		s.WriteString("\nits last lines on standard error:")
		for _, l := range e.Stderr {
			s.WriteString("\n  " + l)
		}
	}
	return s.String()
}

func (e *PluginError) Unwrap() error { return e.Err }

var apiVersion = regexp.MustCompile(`(?i)incompatible API version with plugin\. Plugin version: (\d+), Client versions: \[(.*?)\]`)

// explainStart translates the errors of go-plugin and of the operating system at a start into a
// message with a remedy. r is nil where no process was started.
func explainStart(err error, path string, r *runner) string {
	if text := explainExec(err, path); text != "" {
		return text
	}
	text := err.Error()
	if m := apiVersion.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("it speaks version %s of the objective protocol and this vittool version %s; get a plugin built for this version, or build it against this version's SDK", m[1], m[2])
	}
	first, state := "", ""
	if r != nil {
		first = clip(r.firstLine())
	}
	switch {
	case strings.Contains(text, "incompatible core API version"):
		return "it was built with another major version of go-plugin; build it again with the current SDK"
	case strings.Contains(text, "unsupported plugin protocol"):
		return "it does not speak gRPC; the last field of its handshake must be grpc"
	case strings.Contains(text, "timeout while waiting"):
		return "it did not shake hands in time (objective.deadline); a plugin prints its handshake line on standard output as soon as it listens (and flushes it)"
	case strings.Contains(text, "Error parsing protocol version"):
		return fmt.Sprintf("its handshake line %q cannot be read: the second field must be the version of the objective protocol, a number", first)
	case strings.Contains(text, "Unrecognized remote plugin message") && r != nil && r.printed():
		return fmt.Sprintf("it printed %q on standard output before its handshake; a plugin must keep standard output silent until then and log on standard error", first)
	case strings.Contains(text, "Unrecognized remote plugin message"), strings.Contains(text, "plugin exited before"):
		if r != nil {
			state = r.state()
		}
		return fmt.Sprintf("it ended (%s) before its handshake; is it a vittool plugin, built for this machine, with all its libraries?", state)
	}
	if s, ok := status.FromError(err); ok {
		return "it could not be started: it shook hands, and then did not answer at the address that it gave: " + s.Message()
	}
	return "it could not be started: " + text
}

// explainExec explains the operating system's refusal to run a program; "" for other errors.
func explainExec(err error, path string) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, found := os.Stat(path); found != nil {
			return fmt.Sprintf("there is no program at %s", path)
		}
		if interpreter := interpreterOf(path); interpreter != "" {
			return fmt.Sprintf("it cannot be run: its first line names the interpreter %s, which does not exist", interpreter)
		}
		return "it cannot be run: the loader that it needs does not exist here; it was built for another system, or with other system libraries"
	case errors.Is(err, syscall.EISDIR):
		return fmt.Sprintf("%s is a folder; name the program in it", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("%s may not be executed; check its permissions (chmod +x) and those of the file system", path)
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Sprintf("%s is not a program for this machine: it was built for another architecture or operating system, or is a script without a #! line", path)
	case errors.Is(err, exec.ErrDot), errors.Is(err, exec.ErrNotFound):
		return fmt.Sprintf("%s was not found", path)
	}
	return ""
}

// interpreterOf returns the program that the #! line of a script names; "" for other programs.
func interpreterOf(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	start := make([]byte, 256)
	n, _ := f.Read(start) // an unreadable file is no script
	line, _, _ := strings.Cut(string(start[:n]), "\n")
	fields := strings.Fields(strings.TrimPrefix(line, "#!"))
	if !strings.HasPrefix(line, "#!") || len(fields) == 0 {
		return ""
	}
	return fields[0]
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}
