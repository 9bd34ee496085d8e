package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	prunner "github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/sdk"
)

// process is one run of a plugin's program.
type process struct {
	client   pb.ObjectiveClient
	local    *local         // in process only
	plugin   *plugin.Client // nil in process
	runner   *runner
	lifeline *os.File
	log      *lineLog
}

// command is a program with arguments and additions to its environment.
type command struct {
	path string
	args []string
	env  []string
}

// keptEnv are the variables of the host's environment that a plugin inherits.
var keptEnv = []string{"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SystemRoot", "TEMP", "TMP", "USERPROFILE"}

func environment(extra []string) []string {
	var env []string
	for _, k := range keptEnv {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return append(env, extra...)
}

// spawn starts the program and shakes hands, until ctx ends. segments are handed over as
// descriptors.
func spawn(ctx context.Context, c command, name string, deadline time.Duration, memory uint64, segments []*segment, log *lineLog) (*process, error) {
	p := &process{log: log}
	fail := func(text string, err error) (*process, error) {
		if ctx.Err() != nil { // the caller gave up: no fault of the plugin
			return nil, ctx.Err()
		}
		return nil, &PluginError{Plugin: name, Kind: Start, Text: text, Stderr: log.last(), Err: err}
	}
	dir, releaseDir, err := newSocketDir()
	if err != nil {
		return fail(err.Error(), err)
	}
	defer releaseDir() // also after success: an open connection does not need the file
	cmd := exec.Command(c.path, c.args...)
	cmd.Env = environment(c.env)
	inherited, err := p.inherit(cmd, segments)
	if err != nil {
		return fail(err.Error(), err)
	}
	config := clientConfig(deadline, log, dir)
	config.RunnerFunc = func(_ hclog.Logger, spec *exec.Cmd, _ string) (prunner.Runner, error) {
		cmd.Env = append(cmd.Env, spec.Env...)
		r, err := newRunner(ctx, cmd, inherited, memory)
		p.runner = r
		return r, err
	}
	p.plugin = plugin.NewClient(config)
	addr, err := p.plugin.Start()
	if p.runner != nil {
		defer p.runner.started()
	}
	if err != nil {
		p.kill()
		if p.runner != nil { // the last lines of a process that failed at once may still be on their way
			p.runner.exited(100 * time.Millisecond)
		}
		return fail(explainStart(err, c.path, p.runner), err)
	}
	// go-plugin offers mutual TLS. A plugin that accepts sends a certificate in its handshake. One
	// in another language does not and is spoken to in the clear, on a socket in our private folder
	// only.
	if parts := strings.Split(p.runner.firstLine(), "|"); len(parts) < 6 || len(parts[5]) <= 50 {
		if _, tcp := addr.(*net.TCPAddr); tcp && inheritsFiles {
			p.kill()
			return fail("it listens on TCP without TLS, where every user of this machine could talk to it; listen on a unix socket in the folder named by "+plugin.EnvUnixSocketDir, nil)
		}
		config.TLSConfig = nil
	}
	if err := p.connect(ctx, deadline); err != nil {
		p.kill()
		return fail(explainStart(err, c.path, p.runner), err)
	}
	return p, nil
}

// inherit makes the lifeline and lets cmd inherit its read end and the segments. It returns the
// files that the host closes once the process has its own.
func (p *process) inherit(cmd *exec.Cmd, segments []*segment) ([]*os.File, error) {
	if !inheritsFiles {
		return nil, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.lifeline = w
	cmd.ExtraFiles = []*os.File{r}
	for _, s := range segments {
		cmd.ExtraFiles = append(cmd.ExtraFiles, s.child)
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", sdk.LifelineEnv, fdLifeline))
	return []*os.File{r}, nil
}

// clientConfig sets go-plugin up: gRPC with a message limit, on sockets below dir.
func clientConfig(deadline time.Duration, log *lineLog, dir string) *plugin.ClientConfig {
	return &plugin.ClientConfig{
		HandshakeConfig:  sdk.Handshake,
		Plugins:          plugin.PluginSet{sdk.PluginName: &sdk.GRPC{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     deadline,
		Stderr:           log,
		SyncStdout:       log,
		SyncStderr:       log,
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Off}),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: dir},
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(sdk.MaxMessage), grpc.MaxCallSendMsgSize(sdk.MaxMessage)),
			grpc.WithIdleTimeout(0), // an idle connection would be closed, and its socket is gone
		},
	}
}

// connect dials and waits for the health service, within the deadline.
func (p *process) connect(ctx context.Context, deadline time.Duration) error {
	result := make(chan error, 1)
	go func() {
		c, err := p.plugin.Client()
		if err == nil {
			err = c.Ping()
		}
		if err == nil {
			var raw any
			if raw, err = c.Dispense(sdk.PluginName); err == nil {
				p.client = raw.(pb.ObjectiveClient)
			}
		}
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-time.After(deadline):
		p.runner.Kill(context.Background())
		<-result
		return errors.New("timeout while waiting for the plugin's connection")
	case <-ctx.Done():
		p.runner.Kill(context.Background())
		<-result
		return ctx.Err()
	}
}

// stop ends the process, by a call of Close where it answers within a second. It reports whether
// nothing of the objective runs any more.
func (p *process) stop() bool {
	if p.local != nil {
		return p.local.idle(time.Second)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	_, err := p.client.Close(ctx, &pb.CloseRequest{})
	cancel()
	if err != nil {
		p.kill()
		return true
	}
	t := time.AfterFunc(3*time.Second, func() { p.runner.Kill(context.Background()) })
	p.plugin.Kill()
	t.Stop()
	p.kill()
	return true
}

// kill ends the process at once.
func (p *process) kill() {
	if p.plugin == nil {
		return
	}
	if p.runner != nil {
		p.runner.Kill(context.Background())
	}
	p.plugin.Kill()
	if p.lifeline != nil {
		p.lifeline.Close()
		p.lifeline = nil
	}
}
