// Makes one call with got as it is by default, and prints the status that came in the end.
import got from 'got';

const answer = await got(process.argv[2], { throwHttpErrors: false });
console.log(answer.statusCode);
