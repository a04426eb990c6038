// Starts dynalite, a DynamoDB in memory, on a free port of 127.0.0.1 (its own command line binds every interface)
// and prints the port.

// A session that ends in the middle of a request is not the end of the others'.
process.on('uncaughtException', (err) => {
  if (err.code === 'ECONNRESET') return;
  console.error(err);
  process.exit(1);
});

const server = require('dynalite')({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 });
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
