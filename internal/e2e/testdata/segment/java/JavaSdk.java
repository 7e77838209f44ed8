// Sends messages with com.segment.analytics.java: JavaSdk SERVER KEY COUNT

import com.segment.analytics.Analytics;
import com.segment.analytics.Callback;
import com.segment.analytics.messages.IdentifyMessage;
import com.segment.analytics.messages.Message;
import com.segment.analytics.messages.MessageBuilder;
import com.segment.analytics.messages.TrackMessage;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

class JavaSdk {
  static final String USER = "jane@example.com";

  public static void main(String[] args) throws InterruptedException {
    int count = Integer.parseInt(args[2]);
    CountDownLatch left = new CountDownLatch(count + 2);
    AtomicInteger failed = new AtomicInteger();
    Analytics analytics = Analytics.builder(args[1])
        .endpoint(args[0])
        .flushQueueSize(2)
        .retries(10)
        // A batch waits for up to 30 seconds before it is sent again, and then
        // for up to 60. Each waits in a thread of its own, so that the others
        // go on.
        .networkExecutor(Executors.newCachedThreadPool())
        .callback(new Callback() {
          @Override
          public void success(Message message) {
            left.countDown();
          }

          @Override
          public void failure(Message message, Throwable why) {
            System.err.println(why);
            failed.incrementAndGet();
            left.countDown();
          }
        })
        .build();
    send(analytics, IdentifyMessage.builder().anonymousId("a-1").traits(Map.of("plan", "pro")));
    for (int n = 0; n < count; n++) {
      send(analytics, TrackMessage.builder("step").properties(Map.of("n", n)));
      if (n == 4) {
        send(analytics, TrackMessage.builder("x".repeat(300)));
      }
    }
    left.await(); // shutdown would drop what has to be sent again
    analytics.shutdown();
    System.out.println("failed: " + failed);
    System.exit(0);
  }

  static void send(Analytics analytics, MessageBuilder<?, ?> message) {
    message.userId(USER);
    analytics.enqueue(message);
  }
}
