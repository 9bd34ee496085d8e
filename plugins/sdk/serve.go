package sdk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/vittool/vittool/plugins/pb"
)

// Handshake is the first message between host and plugin. A different protocol version is refused
// by the host with both numbers.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "VITTOOL_OBJECTIVE",
	MagicCookieValue: "vittool.objective.v1",
}

// PluginName is the name the service is dispensed under.
const PluginName = "objective"

// MaxMessage is the size limit of one message in bytes. Tensors travel in shared memory, so a
// larger one is a mistake.
const MaxMessage = 64 << 20

// LifelineEnv names the variable that holds the number of a descriptor whose other end the host
// keeps open: end of file on it means that the host is gone.
const LifelineEnv = "VITTOOL_LIFELINE"

// Serve runs the objective as a plugin; main calls it and it does not return before the host is
// done. Started by hand it explains itself and exits with status 1.
func Serve(o Objective) {
	s, err := NewServer(o, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv(Handshake.MagicCookieKey) != Handshake.MagicCookieValue {
		fmt.Fprintf(os.Stderr, "This is the objective %q, a plugin of vittool. Use it with: vittool pretrain objective.plugin=%s\n", s.describe.Name, os.Args[0])
		os.Exit(1)
	}
	watchLifeline()
	stderr := os.Stderr
	var restore sync.Once
	intercept := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		// go-plugin sends os.Stderr through the connection, which loses the last lines of a process
		// that dies; the pipe that the process was born with does not.
		restore.Do(func() { os.Stderr = stderr })
		return handle(ctx, request)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: Handshake,
		Plugins:         plugin.PluginSet{PluginName: &GRPC{Impl: s}},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(1<<31-1), grpc.UnaryInterceptor(intercept))...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: stderr}),
	})
}

// GRPC joins the service to go-plugin on both sides.
type GRPC struct {
	plugin.NetRPCUnsupportedPlugin
	Impl pb.ObjectiveServer // nil in the host
}

// GRPCServer registers the service in the plugin.
func (p *GRPC) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	pb.RegisterObjectiveServer(s, p.Impl)
	return nil
}

// GRPCClient returns a pb.ObjectiveClient in the host.
func (p *GRPC) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return pb.NewObjectiveClient(c), nil
}

// watchLifeline ends the process when the host is gone, however it went. The kernel's parent-death
// signal, where there is one, does the same; neither is enough alone.
func watchLifeline() {
	fd, err := strconv.Atoi(os.Getenv(LifelineEnv))
	if err != nil || fd < 3 {
		watchParent()
		return
	}
	f := os.NewFile(uintptr(fd), "lifeline")
	go func() {
		var b [1]byte
		for {
			if _, err := f.Read(b[:]); err != nil {
				removeSocketDir()
				os.Exit(0)
			}
		}
	}()
}

// SocketDirPrefix begins the name of the host's private folder for sockets.
const SocketDirPrefix = "vittool-plugin-"

// removeSocketDir removes the host's private folder when the host cannot any more; the folder named
// by the variable is made by go-plugin inside of it.
func removeSocketDir() {
	dir := filepath.Dir(os.Getenv(plugin.EnvUnixSocketDir))
	if strings.HasPrefix(filepath.Base(dir), SocketDirPrefix) {
		_ = os.RemoveAll(dir)
	}
}
