package vtl

// A node is a part of a template that renders.
type node interface {
	render(r *run) error
}

// An expr is a part of a template that has a value.
type expr interface {
	eval(r *run) (any, error)
}

type (
	// A block renders its nodes in order.
	block []node
	// text renders itself.
	text string
	// output renders the value of a reference, or what is written there when it
	// has none.
	output struct{ *reference }
	// An escapedReference has backslashes before it.
	escapedReference struct {
		backslashes int
		*reference
	}
	// An assignment is #set.
	assignment struct {
		at     int
		target *reference
		value  expr
	}
	// A conditional is #if with its #elseif and #else; an arm without a condition
	// is the last.
	conditional struct{ arms []arm }
	arm         struct {
		condition expr
		body      block
	}
	// A loop is #foreach.
	loop struct {
		at   int
		name string
		over expr
		body block
	}
	// A jump is break or stop.
	jump string
)

type (
	// A reference is $name with what follows it. It is both, expression and output.
	reference struct {
		pos    int
		source string
		quiet  bool
		name   string
		parts  []part
	}
	// A part is a property, a method call or an index.
	part struct {
		pos         int
		name        string
		call, index bool
		args        []expr
	}
	literal struct{ value any }
	// interpolated is a string in double quotes.
	interpolated struct{ body block }
	listLiteral  struct{ items []expr }
	rangeLiteral struct {
		at          int
		first, last expr
	}
	mapLiteral struct{ keys, values []expr }
	negation   struct{ of expr }
	binary     struct {
		at          int
		op          string
		left, right expr
	}
)
