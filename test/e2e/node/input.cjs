// Writes real, permissively licensed data as NDJSON into the folder given, one file per source.
//
//   github.ndjson    the octokit webhook examples, 20 times over: 3 to 27 KB a line, nested, natural duplicates
//   emoji-ko.ndjson  emojibase in Korean: every line Hangul, most with characters outside the BMP
//   flights.ndjson   200,000 tiny lines, 6,073 of them natural duplicates
const fs = require('fs');
const path = require('path');

const out = process.argv[2];
fs.mkdirSync(out, { recursive: true });

function write(name, lines) {
  fs.writeFileSync(path.join(out, name), lines.join('\n') + '\n');
}

const octokit = require('@octokit/webhooks-examples');
const github = [];
for (let round = 0; round < 20; round++) {
  for (const event of octokit.default || octokit) {
    for (const example of event.examples) github.push(JSON.stringify({ event: event.name, ...example }));
  }
}
write('github.ndjson', github);

write('emoji-ko.ndjson', require('emojibase-data/ko/data.json').map((x) => JSON.stringify(x)));

// The package exports no path to its data files.
const flights = path.join(__dirname, 'node_modules', 'vega-datasets', 'data', 'flights-200k.json');
write('flights.ndjson', JSON.parse(fs.readFileSync(flights, 'utf8')).map((x) => JSON.stringify(x)));
