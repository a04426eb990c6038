// Starts dynalite in memory on a free port of 127.0.0.1 (its own command line binds every interface) and prints the port.
// Environment: DYNALITE_CREATE_MS, how long a table is CREATING.

// A client that dies in the middle of a request is what the tests are for.
process.on('uncaughtException', (err) => {
  if (err.code === 'ECONNRESET') return;
  console.error(err);
  process.exit(1);
});

const createTableMs = Number(process.env.DYNALITE_CREATE_MS || 50);
const server = require('dynalite')({ createTableMs, deleteTableMs: 50, updateTableMs: 50 });
server.listen(Number(process.env.DYNALITE_PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
