// Starts kinesalite on a free port of 127.0.0.1 (its own command line binds every interface) and prints the port.
// Environment: KINESALITE_PATH, a LevelDB folder; without it everything is in memory.

// kinesalite throws when a client dies in the middle of a request, which is what the tests are for.
process.on('uncaughtException', (err) => {
  if (err.code === 'ECONNRESET') return;
  console.error(err);
  process.exit(1);
});

const options = { createStreamMs: 50, deleteStreamMs: 50, updateStreamMs: 50, shardLimit: 100 };
if (process.env.KINESALITE_PATH) options.path = process.env.KINESALITE_PATH;
const server = require('kinesalite')(options);
server.listen(Number(process.env.KINESALITE_PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
