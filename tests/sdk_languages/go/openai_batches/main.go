// Files and Batches with openai-go: prints one line for each step; test_sdk_languages.py has the expected lines.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

var (
	ctx    = context.Background()
	url    = os.Getenv("BATCHGATE_URL") + "/openai/v1"
	client = newClient(os.Getenv("BATCHGATE_API_KEY"))
)

// A line of an output or error file.
type resultLine struct {
	CustomID string `json:"custom_id"`
	Response struct {
		StatusCode int             `json:"status_code"`
		Body       json.RawMessage `json:"body"`
	} `json:"response"`
	Error struct {
		Code string `json:"code"`
	} `json:"error"`
}

func newClient(key string) openai.Client {
	return openai.NewClient(option.WithBaseURL(url), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func line(customID string, model string, content any) string {
	type object = map[string]any
	body := object{"model": model, "messages": []object{{"role": "user", "content": content}}}
	request := object{"custom_id": customID, "method": "POST", "url": "/v1/chat/completions", "body": body}
	return string(must(json.Marshal(request))) + "\n"
}

func upload(content, name string, purpose openai.FilePurpose) *openai.FileObject {
	file := openai.File(strings.NewReader(content), name, "application/octet-stream")
	return must(client.Files.New(ctx, openai.FileNewParams{File: file, Purpose: purpose}))
}

func create(lines ...string) *openai.Batch {
	file := upload(strings.Join(lines, ""), "requests.jsonl", openai.FilePurposeBatch)
	return must(client.Batches.New(ctx, openai.BatchNewParams{
		InputFileID:      file.ID,
		Endpoint:         openai.BatchNewParamsEndpointV1ChatCompletions,
		CompletionWindow: openai.BatchNewParamsCompletionWindow24h,
		Metadata:         map[string]string{"job": "nightly"},
	}))
}

func waitFor(id string, statuses ...openai.BatchStatus) *openai.Batch {
	for {
		batch := must(client.Batches.Get(ctx, id))
		if slices.Contains(statuses, batch.Status) {
			return batch
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func waitForEnd(id string) *openai.Batch {
	return waitFor(id, openai.BatchStatusCompleted, openai.BatchStatusFailed, openai.BatchStatusCancelled)
}

func readLines(fileID string) []resultLine {
	response := must(client.Files.Content(ctx, fileID))
	defer response.Body.Close()
	lines := []resultLine{}
	for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
		var line resultLine
		must(true, json.Unmarshal(scanner.Bytes(), &line))
		lines = append(lines, line)
	}
	return lines
}

func createAndRead() string {
	created := create(line("a", "simulated", "I am a"), line("b", "simulated", "I am b"), line("c", "simulated", 5))
	fmt.Printf("created: %s, job %s\n", created.Status, created.Metadata["job"])
	batch := waitForEnd(created.ID)
	fmt.Printf("%s: %d completed, %d failed\n", batch.Status, batch.RequestCounts.Completed, batch.RequestCounts.Failed)
	for _, line := range readLines(batch.OutputFileID) {
		var answer openai.ChatCompletion
		must(true, json.Unmarshal(line.Response.Body, &answer))
		fmt.Printf("%s: %s\n", line.CustomID, answer.Choices[0].Message.Content)
	}
	for _, line := range readLines(batch.ErrorFileID) {
		var refused struct {
			Error struct{ Type string }
		}
		must(true, json.Unmarshal(line.Response.Body, &refused))
		fmt.Printf("%s: %d %s\n", line.CustomID, line.Response.StatusCode, refused.Error.Type)
	}
	return created.ID
}

func list(ids []string) {
	found := []string{}
	batches := client.Batches.ListAutoPaging(ctx, openai.BatchListParams{Limit: openai.Int(2)})
	for batches.Next() {
		found = append(found, strconv.Itoa(slices.Index(ids, batches.Current().ID)))
	}
	must(true, batches.Err())
	fmt.Println("listed:", strings.Join(found, " "))
	names := []string{}
	params := openai.FileListParams{Limit: openai.Int(2), Purpose: openai.String("batch"), Order: openai.FileListParamsOrderAsc}
	files := client.Files.ListAutoPaging(ctx, params)
	for files.Next() {
		names = append(names, files.Current().Filename)
	}
	must(true, files.Err())
	fmt.Println("input files:", strings.Join(names, " "))
}

func cancel() {
	lines := []string{}
	for n := range 100 {
		lines = append(lines, line(strconv.Itoa(n), "slow", "Hello"))
	}
	id := create(lines...).ID
	waitFor(id, openai.BatchStatusInProgress)
	fmt.Println("cancel:", must(client.Batches.Cancel(ctx, id)).Status)
	batch := waitForEnd(id)
	notRun := int64(0)
	for _, line := range readLines(batch.ErrorFileID) {
		if line.Error.Code == "batch_cancelled" {
			notRun++
		}
	}
	agree := notRun > 0 && batch.RequestCounts.Completed+notRun == 100
	verb := map[bool]string{true: "have", false: "lack"}[agree]
	fmt.Printf("%s: output and error file %s all requests\n", batch.Status, verb)
}

func raisesErrors(ended string) {
	var failure *openai.Error
	// The gateway counts the calls: there must be one.
	if _, err := client.Batches.Cancel(ctx, ended, option.WithMaxRetries(2)); errors.As(err, &failure) {
		fmt.Printf("cancel after the end: %d %s\n", failure.StatusCode, failure.Type)
	}
	if _, err := client.Batches.Get(ctx, "batch_nobody"); errors.As(err, &failure) {
		fmt.Printf("not found: %d %s, param %s\n", failure.StatusCode, failure.Type, failure.Param)
	}
	wrong := newClient("wrong")
	if _, err := wrong.Batches.List(ctx, openai.BatchListParams{}); errors.As(err, &failure) {
		fmt.Printf("wrong key: %d %s\n", failure.StatusCode, failure.Code)
	}
}

func main() {
	ids := []string{createAndRead()}
	for len(ids) < 5 {
		ids = append(ids, create(line("a", "simulated", "Hello")).ID)
	}
	list(ids)
	cancel()
	notes := upload("text", "notes.txt", openai.FilePurposeUserData)
	fmt.Println("delete:", must(client.Files.Delete(ctx, notes.ID)).Deleted)
	raisesErrors(ids[0])
}
