import com.fasterxml.jackson.databind.JsonNode;
import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.JsonValue;
import com.openai.core.MultipartField;
import com.openai.core.ObjectMappers;
import com.openai.core.http.HttpResponse;
import com.openai.errors.NotFoundException;
import com.openai.errors.UnauthorizedException;
import com.openai.errors.UnexpectedStatusCodeException;
import com.openai.models.batches.Batch;
import com.openai.models.batches.BatchCreateParams;
import com.openai.models.batches.BatchListParams;
import com.openai.models.chat.completions.ChatCompletion;
import com.openai.models.files.FileCreateParams;
import com.openai.models.files.FileListParams;
import com.openai.models.files.FileObject;
import com.openai.models.files.FilePurpose;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** Files and Batches with openai-java: prints one line for each step; test_sdk_languages.py has the expected lines. */
public final class OpenAIBatches {
    private static final Set<Batch.Status> FINAL =
            Set.of(Batch.Status.COMPLETED, Batch.Status.FAILED, Batch.Status.EXPIRED, Batch.Status.CANCELLED);
    private static final OpenAIClient client = client(System.getenv("BATCHGATE_API_KEY"));

    private static OpenAIClient client(String key) {
        return OpenAIOkHttpClient.builder()
                .baseUrl(System.getenv("BATCHGATE_URL") + "/openai/v1")
                .apiKey(key)
                .responseValidation(true) // every answer must have all that its class requires
                .maxRetries(0)
                .build();
    }

    private static String line(String customId, String model, Object content) throws IOException {
        var body = Map.of("model", model, "messages", List.of(Map.of("role", "user", "content", content)));
        var request = Map.of("custom_id", customId, "method", "POST", "url", "/v1/chat/completions", "body", body);
        return ObjectMappers.jsonMapper().writeValueAsString(request) + "\n";
    }

    private static FileObject upload(String content, String name, FilePurpose purpose) {
        InputStream stream = new ByteArrayInputStream(content.getBytes(StandardCharsets.UTF_8));
        var file = MultipartField.<InputStream>builder().value(stream).filename(name).build();
        return client.files().create(FileCreateParams.builder().file(file).purpose(purpose).build());
    }

    private static Batch create(String lines) {
        return client.batches()
                .create(BatchCreateParams.builder()
                        .inputFileId(upload(lines, "requests.jsonl", FilePurpose.BATCH).id())
                        .endpoint(BatchCreateParams.Endpoint.V1_CHAT_COMPLETIONS)
                        .completionWindow(BatchCreateParams.CompletionWindow._24H)
                        .metadata(BatchCreateParams.Metadata.builder()
                                .putAdditionalProperty("job", JsonValue.from("nightly"))
                                .build())
                        .build());
    }

    private static Batch waitFor(String id, Set<Batch.Status> statuses) throws InterruptedException {
        Batch batch = client.batches().retrieve(id);
        while (!statuses.contains(batch.status())) {
            Thread.sleep(20);
            batch = client.batches().retrieve(id);
        }
        return batch;
    }

    private static List<JsonNode> readLines(Optional<String> fileId) throws IOException {
        var lines = new ArrayList<JsonNode>();
        if (fileId.isEmpty()) return lines;
        try (HttpResponse response = client.files().content(fileId.get());
                var reader = new BufferedReader(new InputStreamReader(response.body(), StandardCharsets.UTF_8))) {
            for (String line; (line = reader.readLine()) != null; )
                lines.add(ObjectMappers.jsonMapper().readTree(line));
        }
        return lines;
    }

    private static String createAndRead() throws Exception {
        var created = create(
                line("a", "simulated", "I am a") + line("b", "simulated", "I am b") + line("c", "simulated", 5));
        var job = created.metadata().get()._allProperties().get("job").asStringOrThrow();
        System.out.printf("created: %s, job %s%n", created.status(), job);
        var batch = waitFor(created.id(), FINAL);
        var counts = batch.requestCounts().get();
        System.out.printf("%s: %d completed, %d failed%n", batch.status(), counts.completed(), counts.failed());
        for (JsonNode line : readLines(batch.outputFileId())) {
            var answer = ObjectMappers.jsonMapper()
                    .treeToValue(line.at("/response/body"), ChatCompletion.class)
                    .validate();
            String text = answer.choices().get(0).message().content().get();
            System.out.printf("%s: %s%n", line.get("custom_id").asText(), text);
        }
        for (JsonNode line : readLines(batch.errorFileId()))
            System.out.printf(
                    "%s: %d %s%n",
                    line.get("custom_id").asText(),
                    line.at("/response/status_code").asInt(),
                    line.at("/response/body/error/type").asText());
        return created.id();
    }

    private static void list(List<String> ids) {
        var batches = client.batches().list(BatchListParams.builder().limit(2).build());
        System.out.println("listed: "
                + batches.autoPager().stream()
                        .map(batch -> String.valueOf(ids.indexOf(batch.id())))
                        .collect(Collectors.joining(" ")));
        var files = client.files()
                .list(FileListParams.builder()
                        .limit(2)
                        .purpose("batch")
                        .order(FileListParams.Order.ASC)
                        .build());
        System.out.println("input files: "
                + files.autoPager().stream().map(FileObject::filename).collect(Collectors.joining(" ")));
    }

    private static void cancel() throws Exception {
        var lines = new StringBuilder();
        for (int n = 0; n < 100; n++) lines.append(line(String.valueOf(n), "slow", "Hello"));
        String id = create(lines.toString()).id();
        waitFor(id, Set.of(Batch.Status.IN_PROGRESS));
        System.out.println("cancel: " + client.batches().cancel(id).status());
        var batch = waitFor(id, FINAL);
        long notRun = readLines(batch.errorFileId()).stream()
                .filter(line -> line.at("/error/code").asText().equals("batch_cancelled"))
                .count();
        boolean agree = notRun > 0 && batch.requestCounts().get().completed() + notRun == 100;
        System.out.printf("%s: output and error file %s all requests%n", batch.status(), agree ? "have" : "lack");
    }

    private static void raisesErrors(String ended) {
        try { // the gateway counts the calls: there must be one
            client.withOptions(options -> options.maxRetries(2)).batches().cancel(ended);
        } catch (UnexpectedStatusCodeException error) {
            System.out.printf(
                    "cancel after the end: %d %s%n",
                    error.statusCode(), error.type().get());
        }
        try {
            client.batches().retrieve("batch_nobody");
        } catch (NotFoundException error) {
            System.out.printf(
                    "not found: %d %s, param %s%n",
                    error.statusCode(), error.type().get(), error.param().get());
        }
        try {
            client("wrong").batches().list();
        } catch (UnauthorizedException error) {
            System.out.printf("wrong key: %d %s%n", error.statusCode(), error.code().get());
        }
    }

    public static void main(String[] args) throws Exception {
        var ids = new ArrayList<>(List.of(createAndRead()));
        while (ids.size() < 5) ids.add(create(line("a", "simulated", "Hello")).id());
        list(ids);
        cancel();
        var notes = upload("text", "notes.txt", FilePurpose.USER_DATA);
        System.out.println("delete: " + client.files().delete(notes.id()).deleted());
        raisesErrors(ids.get(0));
        System.exit(0); // threads of the HTTP client would keep the process for a minute
    }
}
