// Makes one call through undici's RetryAgent and its defaults, and prints the
// final status.
import { Agent, RetryAgent, request } from 'undici';

const dispatcher = new RetryAgent(new Agent());
const answer = await request(process.argv[2], { dispatcher });
await answer.body.dump();
console.log(answer.statusCode);
await dispatcher.close();
