import com.anthropic.client.AnthropicClient;
import com.anthropic.client.okhttp.AnthropicOkHttpClient;
import com.anthropic.core.MultipartField;
import com.anthropic.core.http.HttpResponse;
import com.anthropic.core.http.StreamResponse;
import com.anthropic.errors.NotFoundException;
import com.anthropic.errors.UnauthorizedException;
import com.anthropic.models.files.FileListParams;
import com.anthropic.models.files.FileUploadParams;
import com.anthropic.models.messages.batches.BatchCreateParams;
import com.anthropic.models.messages.batches.BatchListParams;
import com.anthropic.models.messages.batches.MessageBatch;
import com.anthropic.models.messages.batches.MessageBatchIndividualResponse;
import com.anthropic.models.messages.batches.MessageBatchRequestCounts;
import com.anthropic.models.messages.batches.MessageBatchResult;
import com.anthropic.services.blocking.messages.BatchService;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Message Batches and Files with anthropic-java: prints one line for each step; test_sdk_languages.py has the expected
 * lines.
 */
public final class AnthropicBatches {
    private static final String KEY = System.getenv("BATCHGATE_API_KEY");
    private static final AnthropicClient client = builder().apiKey(KEY).build();
    private static final BatchService batches = client.messages().batches();

    private static AnthropicOkHttpClient.Builder builder() {
        return AnthropicOkHttpClient.builder()
                .baseUrl(System.getenv("BATCHGATE_URL") + "/anthropic")
                .responseValidation(true) // every answer must have all that its class requires
                .maxRetries(0);
    }

    private static BatchCreateParams.Request request(String customId, String model, long maxTokens) {
        return BatchCreateParams.Request.builder()
                .customId(customId)
                .params(BatchCreateParams.Request.Params.builder()
                        .model(model)
                        .maxTokens(maxTokens)
                        .addUserMessage("I am " + customId)
                        .build())
                .build();
    }

    private static MessageBatch create(List<BatchCreateParams.Request> requests) {
        return batches.create(BatchCreateParams.builder().requests(requests).build());
    }

    private static MessageBatchRequestCounts waitUntilEnded(String id) throws InterruptedException {
        MessageBatch batch = batches.retrieve(id);
        while (!batch.processingStatus().equals(MessageBatch.ProcessingStatus.ENDED)) {
            Thread.sleep(20);
            batch = batches.retrieve(id);
        }
        return batch.requestCounts();
    }

    private static void readResults(String id, BiConsumer<String, MessageBatchResult> read) {
        try (StreamResponse<MessageBatchIndividualResponse> results = batches.resultsStreaming(id)) {
            results.stream().forEach(line -> read.accept(line.customId(), line.validate().result()));
        }
    }

    private static String createAndRead() throws InterruptedException {
        var tooShort = request("c", "claude-sonnet-4-5", 0); // the simulated model refuses it
        var created = create(
                List.of(request("a", "claude-sonnet-4-5", 64), request("b", "claude-sonnet-4-5", 64), tooShort));
        System.out.printf(
                "created: %s, %d processing%n",
                created.processingStatus(), created.requestCounts().processing());
        var counts = waitUntilEnded(created.id());
        System.out.printf("ended: %d succeeded, %d errored%n", counts.succeeded(), counts.errored());
        readResults(created.id(), (customId, result) -> {
            String text = result.isSucceeded()
                    ? result.asSucceeded().message().content().get(0).asText().text()
                    : result.asErrored().error().error().isInvalidRequestError() ? "invalid_request_error" : "?";
            System.out.printf("%s: %s%n", customId, text);
        });
        return created.id();
    }

    private static String indexes(List<String> ids, BatchListParams.Builder params) {
        return batches.list(params.limit(2).build()).autoPager().stream()
                .map(batch -> String.valueOf(ids.indexOf(batch.id())))
                .collect(Collectors.joining(" "));
    }

    private static void list(List<String> ids) {
        System.out.println("listed: " + indexes(ids, BatchListParams.builder()));
        System.out.println("older than 3: " + indexes(ids, BatchListParams.builder().afterId(ids.get(3))));
        System.out.println("newer than 0: " + indexes(ids, BatchListParams.builder().beforeId(ids.get(0))));
    }

    private static void useFiles() throws IOException {
        var files = client.files();
        var ids = new ArrayList<String>();
        for (String name : List.of("0.txt", "1.txt", "2.txt")) {
            InputStream stream = new ByteArrayInputStream("text".getBytes(StandardCharsets.UTF_8));
            var file = MultipartField.<InputStream>builder()
                    .value(stream)
                    .filename(name)
                    .contentType("text/plain")
                    .build();
            ids.add(files.upload(FileUploadParams.builder().file(file).build()).id());
        }
        var file = files.retrieveMetadata(ids.get(0));
        System.out.printf("file: %s %s %d%n", file.filename(), file.mimeType(), file.sizeBytes());
        try (HttpResponse response = files.download(file.id())) {
            String text = new String(response.body().readAllBytes(), StandardCharsets.UTF_8);
            System.out.println("content: " + text);
        }
        System.out.println("files: "
                + files.list(FileListParams.builder().limit(2).build()).autoPager().stream()
                        .map(listed -> String.valueOf(ids.indexOf(listed.id())))
                        .collect(Collectors.joining(" ")));
        System.out.println("delete file: " + files.delete(file.id())._type());
    }

    private static String cancel() throws InterruptedException {
        var requests = IntStream.range(0, 100)
                .mapToObj(n -> request(String.valueOf(n), "slow", 64))
                .toList();
        var canceling = batches.cancel(create(requests).id());
        System.out.println("cancel: " + canceling.processingStatus());
        var counts = waitUntilEnded(canceling.id());
        var canceled = new ArrayList<String>();
        readResults(canceling.id(), (customId, result) -> {
            if (result.isCanceled()) canceled.add(customId);
        });
        boolean agree = !canceled.isEmpty()
                && canceled.size() == counts.canceled()
                && counts.succeeded() + canceled.size() == 100;
        System.out.println("canceled: the counts " + (agree ? "agree" : "differ"));
        System.out.println(
                "cancel after the end: " + batches.cancel(canceling.id()).processingStatus());
        return canceling.id();
    }

    private static void raisesErrors(String deleted) {
        try {
            batches.retrieve(deleted);
        } catch (NotFoundException error) {
            String id = error.requestId().get().substring(0, 4);
            System.out.printf("not found: %d %s, %s%n", error.statusCode(), error.type().get(), id);
        }
        try {
            builder().apiKey("wrong").build().messages().batches().list();
        } catch (UnauthorizedException error) {
            System.out.printf("wrong key: %d %s%n", error.statusCode(), error.type().get());
        }
    }

    public static void main(String[] args) throws Exception {
        var ids = new ArrayList<>(List.of(createAndRead()));
        while (ids.size() < 5) ids.add(create(List.of(request("a", "claude-sonnet-4-5", 64))).id());
        list(ids);
        useFiles();
        String canceled = cancel();
        System.out.println("delete: " + batches.delete(canceled)._type());
        raisesErrors(canceled);
        builder().authToken(KEY).build().messages().batches().retrieve(ids.get(0));
        System.out.println("auth token: accepted");
        System.exit(0); // threads of the HTTP client would keep the process for a minute
    }
}
