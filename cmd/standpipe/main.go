package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is the command line: one field for each sub-command.
type cli struct {
	globals

	localCommands

	Run         runCommand         `cmd:"" help:"Deliver a stream until told to stop."`
	Firehose    firehoseCommand    `cmd:"" help:"Take records of Firehose producers and put them into the stream."`
	Check       checkCommand       `cmd:"" help:"Check a configuration: every problem at once."`
	Produce     produceCommand     `cmd:"" help:"Send files, standard input or generated events to a stream or a URL."`
	Gateway     gatewayCommand     `cmd:"" help:"Serve a REST API in front of Kinesis, as API Gateway does."`
	Tail        tailCommand        `cmd:"" help:"Follow the records of a stream."`
	Cat         catCommand         `cmd:"" help:"Print archived objects as plain lines."`
	Verify      verifyCommand      `cmd:"" help:"Prove an archive whole, or name what is wrong and what mends it."`
	Replay      replayCommand      `cmd:"" help:"Restore missing objects from the stream, or deliver a range once more."`
	Checkpoint  checkpointCommand  `cmd:"" help:"Show, set or export how far each shard is delivered."`
	Compare     compareCommand     `cmd:"" help:"Judge two archives of the same stream: safe to cut over?"`
	Status      statusCommand      `cmd:"" help:"Show what a running standpipe reads, holds and delivers."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask a running standpipe whether it lives; for containers."`
	ImportKCL   importKCLCommand   `cmd:"" name:"import-kcl" help:"Take a KCL application's lease table over, or copy it."`
	ExportKCL   exportKCLCommand   `cmd:"" name:"export-kcl" help:"Hand the leases back to a KCL application."`
	Redrive     redriveCommand     `cmd:"" help:"Put failed records back into a stream or a prefix, once."`
	Jobs        jobsCommand        `cmd:"" help:"List, show, cancel, resume and delete jobs."`
	Version     versionCommand     `cmd:"" help:"Say which build this is."`
}

// globals are the flags of every command.
type globals struct {
	Region string `help:"AWS region, instead of AWS_REGION and the profile's." placeholder:"NAME"`
}

const description = `Archive Kinesis streams to S3, each record in exactly one object.

AWS settings come from the usual places: AWS_REGION, AWS_PROFILE, AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL_KINESIS, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL_DYNAMODB, ~/.aws.

` + exitCodes

func main() {
	if code, ok := child(os.Args[1:]); ok {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks; after it the default is back, and a second one kills.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program without its process: it returns the exit code. Ending ctx
// is the interrupt.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var (
		c      cli
		asked  bool // --help was given and answered
		code   int
		out    = newConsole(stdin, stdout, stderr)
		helpTo = stdout
	)
	if len(args) == 0 {
		args, helpTo, code = []string{"--help"}, stderr, exitUsage
	}
	parser, err := kong.New(&c,
		kong.Name("standpipe"),
		kong.Description(description),
		kong.Writers(helpTo, stderr),
		kong.Exit(func(int) { asked = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100, NoAppDescFormat: true, NoExpandSubcommands: true}),
		kong.ValueFormatter(kong.DefaultHelpValueFormatter),
		kong.Help(help),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&c.globals, out),
	)
	if err != nil {
		fmt.Fprintln(stderr, "standpipe:", err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	if asked {
		return code
	}
	if err != nil {
		return out.fail(usage(withCommand(err)))
	}
	err = command.Run()
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	return out.fail(err)
}

// alternatives are required flags of which one is given; kong names them as if
// each were needed.
var alternatives = strings.NewReplacer(
	"--stream=NAME --url=URL", "(--stream=NAME | --url=URL)",
	"--to-stream=NAME --to-prefix=PLACE", "(--to-stream=NAME | --to-prefix=PLACE)",
)

// help is kong's, with the alternatives told apart.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	var text strings.Builder
	to := ctx.Stdout
	ctx.Stdout = &text
	err := kong.DefaultHelpPrinter(options, ctx)
	ctx.Stdout = to
	if err == nil {
		_, err = alternatives.WriteString(to, text.String())
	}
	return err
}

// withCommand adds to a parse error where its help is.
func withCommand(err error) error {
	parse, ok := errors.AsType[*kong.ParseError](err)
	if !ok || parse.Context == nil || parse.Context.Command() == "" {
		return fmt.Errorf("%w; see standpipe --help", err)
	}
	name := parse.Context.Selected()
	if name == nil {
		return fmt.Errorf("%w; see standpipe --help", err)
	}
	return fmt.Errorf("%w; see %s --help", err, name.FullPath())
}
