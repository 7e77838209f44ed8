// Makes one call with got and its defaults, and prints the final status.
import got from 'got';

const answer = await got(process.argv[2], { throwHttpErrors: false });
console.log(answer.statusCode);
