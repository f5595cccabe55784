// Message Batches and Files with anthropic-sdk-go: prints one line for each step; test_sdk_languages.py has the
// expected lines.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"
)

var (
	ctx    = context.Background()
	url    = os.Getenv("BATCHGATE_URL") + "/anthropic"
	key    = os.Getenv("BATCHGATE_API_KEY")
	client = newClient(option.WithAPIKey(key))
)

func newClient(credential option.RequestOption) anthropic.Client {
	return anthropic.NewClient(option.WithBaseURL(url), credential, option.WithMaxRetries(0))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func request(customID string, model string, maxTokens int64) anthropic.MessageBatchNewParamsRequest {
	message := anthropic.NewUserMessage(anthropic.NewTextBlock("I am " + customID))
	return anthropic.MessageBatchNewParamsRequest{
		CustomID: customID,
		Params: anthropic.MessageBatchNewParamsRequestParams{
			Model:     anthropic.Model(model),
			MaxTokens: maxTokens,
			Messages:  []anthropic.MessageParam{message},
		},
	}
}

func create(requests ...anthropic.MessageBatchNewParamsRequest) *anthropic.MessageBatch {
	return must(client.Messages.Batches.New(ctx, anthropic.MessageBatchNewParams{Requests: requests}))
}

func waitUntilEnded(id string) anthropic.MessageBatchRequestCounts {
	for {
		batch := must(client.Messages.Batches.Get(ctx, id, anthropic.MessageBatchGetParams{}))
		if batch.ProcessingStatus == anthropic.MessageBatchProcessingStatusEnded {
			return batch.RequestCounts
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func readResults(id string, read func(customID string, result any)) {
	results := client.Messages.Batches.ResultsStreaming(ctx, id, anthropic.MessageBatchResultsParams{})
	defer results.Close()
	for results.Next() {
		read(results.Current().CustomID, results.Current().Result.AsAny())
	}
	must(true, results.Err())
}

func createAndRead() string {
	tooShort := request("c", "claude-sonnet-4-5", 0) // the simulated model refuses it
	created := create(request("a", "claude-sonnet-4-5", 64), request("b", "claude-sonnet-4-5", 64), tooShort)
	fmt.Printf("created: %s, %d processing\n", created.ProcessingStatus, created.RequestCounts.Processing)
	counts := waitUntilEnded(created.ID)
	fmt.Printf("ended: %d succeeded, %d errored\n", counts.Succeeded, counts.Errored)
	readResults(created.ID, func(customID string, result any) {
		switch result := result.(type) {
		case anthropic.MessageBatchSucceededResult:
			fmt.Printf("%s: %s\n", customID, result.Message.Content[0].AsText().Text)
		case anthropic.MessageBatchErroredResult:
			fmt.Printf("%s: %s\n", customID, result.Error.Error.Type)
		default:
			fmt.Printf("%s: %T\n", customID, result)
		}
	})
	return created.ID
}

func indexes(ids []string, params anthropic.MessageBatchListParams) []string {
	params.Limit = anthropic.Int(2)
	found := []string{}
	pager := client.Messages.Batches.ListAutoPaging(ctx, params)
	for pager.Next() {
		found = append(found, strconv.Itoa(slices.Index(ids, pager.Current().ID)))
	}
	must(true, pager.Err())
	return found
}

func list(ids []string) {
	fmt.Println("listed:", strings.Join(indexes(ids, anthropic.MessageBatchListParams{}), " "))
	older := indexes(ids, anthropic.MessageBatchListParams{AfterID: anthropic.String(ids[3])})
	fmt.Println("older than 3:", strings.Join(older, " "))
	newer := indexes(ids, anthropic.MessageBatchListParams{BeforeID: anthropic.String(ids[0])})
	fmt.Println("newer than 0:", strings.Join(newer, " "))
}

func useFiles() {
	ids := []string{}
	for _, name := range []string{"0.txt", "1.txt", "2.txt"} {
		file := anthropic.File(strings.NewReader("text"), name, "text/plain")
		ids = append(ids, must(client.Files.Upload(ctx, anthropic.FileUploadParams{File: file})).ID)
	}
	file := must(client.Files.GetMetadata(ctx, ids[0], anthropic.FileGetMetadataParams{}))
	fmt.Println("file:", file.Filename, file.MimeType, file.SizeBytes)
	response := must(client.Files.Download(ctx, file.ID, anthropic.FileDownloadParams{}))
	defer response.Body.Close()
	fmt.Printf("content: %s\n", must(io.ReadAll(response.Body)))
	listed := []string{}
	files := client.Files.ListAutoPaging(ctx, anthropic.FileListParams{Limit: anthropic.Int(2)})
	for files.Next() {
		listed = append(listed, strconv.Itoa(slices.Index(ids, files.Current().ID)))
	}
	must(true, files.Err())
	fmt.Println("files:", strings.Join(listed, " "))
	fmt.Println("delete file:", must(client.Files.Delete(ctx, file.ID, anthropic.FileDeleteParams{})).Type)
}

func cancelBatch(id string) *anthropic.MessageBatch {
	return must(client.Messages.Batches.Cancel(ctx, id, anthropic.MessageBatchCancelParams{}))
}

func cancel() string {
	requests := []anthropic.MessageBatchNewParamsRequest{}
	for n := range 100 {
		requests = append(requests, request(strconv.Itoa(n), "slow", 64))
	}
	canceling := cancelBatch(create(requests...).ID)
	fmt.Println("cancel:", canceling.ProcessingStatus)
	counts := waitUntilEnded(canceling.ID)
	canceled := int64(0)
	readResults(canceling.ID, func(_ string, result any) {
		if _, found := result.(anthropic.MessageBatchCanceledResult); found {
			canceled++
		}
	})
	agree := canceled > 0 && canceled == counts.Canceled && counts.Succeeded+canceled == 100
	fmt.Println("canceled: the counts", map[bool]string{true: "agree", false: "differ"}[agree])
	fmt.Println("cancel after the end:", cancelBatch(canceling.ID).ProcessingStatus)
	return canceling.ID
}

func raisesErrors(deleted string) {
	var failure *anthropic.Error
	if _, err := client.Messages.Batches.Get(ctx, deleted, anthropic.MessageBatchGetParams{}); errors.As(err, &failure) {
		fmt.Printf("not found: %d %s, %.4s\n", failure.StatusCode, failure.Type(), failure.RequestID)
	}
	wrong := newClient(option.WithAPIKey("wrong"))
	if _, err := wrong.Messages.Batches.List(ctx, anthropic.MessageBatchListParams{}); errors.As(err, &failure) {
		fmt.Printf("wrong key: %d %s\n", failure.StatusCode, failure.Type())
	}
}

func main() {
	ids := []string{createAndRead()}
	for len(ids) < 5 {
		ids = append(ids, create(request("a", "claude-sonnet-4-5", 64)).ID)
	}
	list(ids)
	useFiles()
	canceled := cancel()
	deleted := must(client.Messages.Batches.Delete(ctx, canceled, anthropic.MessageBatchDeleteParams{}))
	fmt.Println("delete:", deleted.Type)
	raisesErrors(canceled)
	withToken := newClient(option.WithAuthToken(key))
	must(withToken.Messages.Batches.Get(ctx, ids[0], anthropic.MessageBatchGetParams{}))
	fmt.Println("auth token: accepted")
}
