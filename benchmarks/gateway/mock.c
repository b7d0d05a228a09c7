/* A mock upstream that costs next to nothing: one thread, epoll, answers made once.
 *
 * Usage: mock PORT. Speaks HTTP/1.1 with keep-alive and pipelining on loopback.
 *   POST (any path)   a chat completion of 982 bytes; with "stream":true a hundred events, a finish reason and [DONE].
 *                     A word in the prompt says how: [paced] (10 ms between events), [hang] (never), [fail500], [fail429], else at once.
 *   GET /v1/models    "mock" and thirty more.     GET /health   an empty object.
 *   GET /stats        requests, streams begun, streams whose reader left, connections open.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 100, MODELS = 30, BODY = 982, PACE_NS = 10 * 1000 * 1000, BATCH = 256 };

typedef struct Connection {
    int fd;
    char *in;
    size_t have, room;
    char *out; /* what the socket would not take yet */
    size_t out_at, out_have, out_room;
    int sent;    /* events of a paced stream, -1: none is running */
    int hanging; /* a request that is never answered */
    int close_after;
    int keep_reading;
    long long due;
    struct Connection *next, *previous; /* paced streams */
} Connection;

static char whole[2048], models[8192], event[256], ending[512];
static size_t whole_size, models_size, event_size, ending_size;
static const char head_sse[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
static Connection paced = {.fd = -1};
static long long requests, streams, aborted, open_now;
static int poller;

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static size_t with_head(char *to, size_t room, int status, const char *reason, const char *more, const char *body) {
    return snprintf(to, room, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s", status, reason,
                    more, strlen(body), body);
}

static size_t chunk(char *to, size_t room, const char *data) {
    return snprintf(to, room, "%zx\r\n%s\r\n", strlen(data), data);
}

static void prepare(void) {
    char body[BODY + 1], text[BODY], data[256];
    const char *form = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":\"mock\",\"choices\":[{\"index\":0,"
                       "\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
                       "\"usage\":{\"prompt_tokens\":24,\"completion_tokens\":128,\"total_tokens\":152}}";
    size_t words = BODY - (strlen(form) - 2);
    for (size_t at = 0; at < words; at++) text[at] = "a quick answer. "[at % 16];
    text[words] = 0;
    snprintf(body, sizeof body, form, text);
    whole_size = with_head(whole, sizeof whole, 200, "OK", "", body);

    const char *piece = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"mock\","
                        "\"choices\":[{\"index\":0,\"delta\":{%s},\"finish_reason\":%s}]}\n\n";
    snprintf(data, sizeof data, piece, "\"content\":\" word\"", "null");
    event_size = chunk(event, sizeof event, data);
    snprintf(data, sizeof data, piece, "", "\"stop\"");
    ending_size = chunk(ending, sizeof ending, data);
    ending_size += chunk(ending + ending_size, sizeof ending - ending_size, "data: [DONE]\n\n");
    ending_size += snprintf(ending + ending_size, sizeof ending - ending_size, "0\r\n\r\n");

    char list[6144] = "{\"object\":\"list\",\"data\":[";
    for (int number = 0; number <= MODELS; number++) {
        char name[16] = "mock";
        if (number) snprintf(name, sizeof name, "model-%02d", number);
        size_t at = strlen(list);
        snprintf(list + at, sizeof list - at, "%s{\"id\":\"%s\",\"object\":\"model\",\"created\":1760000000,\"owned_by\":\"bench\",\"max_model_len\":262144}",
                 number ? "," : "", name);
    }
    strcat(list, "]}");
    models_size = with_head(models, sizeof models, 200, "OK", "", list);
}

static void watch(Connection *each, int operation, unsigned more) {
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLRDHUP | more, .data.ptr = each};
    epoll_ctl(poller, operation, each->fd, &wanted);
}

static void unpace(Connection *each) {
    if (each->sent < 0) return;
    each->previous->next = each->next;
    if (each->next) each->next->previous = each->previous;
    each->sent = -1;
}

static void leave(Connection *each) {
    if (each->sent >= 0 || each->hanging || each->out_have > each->out_at) aborted++;
    unpace(each);
    close(each->fd);
    free(each->in);
    free(each->out);
    free(each);
    open_now--;
}

/* Returns 0 when the connection is gone. */
static int send_bytes(Connection *each, const char *data, size_t size) {
    if (each->out_have == each->out_at) {
        ssize_t wrote = send(each->fd, data, size, MSG_NOSIGNAL);
        if (wrote < 0 && errno != EAGAIN) return 0;
        if (wrote > 0) data += wrote, size -= wrote;
        if (!size) return 1;
        each->out_at = each->out_have = 0;
        watch(each, EPOLL_CTL_MOD, EPOLLOUT);
    }
    if (each->out_have + size > each->out_room) each->out = realloc(each->out, each->out_room = 2 * (each->out_have + size));
    memcpy(each->out + each->out_have, data, size);
    each->out_have += size;
    return 1;
}

static int flush(Connection *each) {
    ssize_t wrote = send(each->fd, each->out + each->out_at, each->out_have - each->out_at, MSG_NOSIGNAL);
    if (wrote < 0) return errno == EAGAIN;
    each->out_at += wrote;
    if (each->out_at == each->out_have) watch(each, EPOLL_CTL_MOD, 0);
    return 1;
}

/* Whether a word stands in the prompt; nobody looks for one in a large prompt. */
static int says(const char *body, size_t size, const char *word) { return size < 4096 && memmem(body, size, word, strlen(word)); }

/* Event by event, as engines write them; the reader finds as many as came while it was busy. */
static int send_burst(Connection *each) {
    int well = send_bytes(each, head_sse, sizeof head_sse - 1);
    for (int number = 0; well && number < EVENTS; number++) well = send_bytes(each, event, event_size);
    return well && send_bytes(each, ending, ending_size);
}

static int answer_chat(Connection *each, const char *body, size_t size) {
    char refusal[512];
    requests++;
    if (says(body, size, "[hang]")) return each->hanging = 1;
    if (says(body, size, "[fail500]"))
        return send_bytes(each, refusal, with_head(refusal, sizeof refusal, 500, "Error", "", "{\"error\":{\"message\":\"broken\",\"type\":\"server_error\"}}"));
    if (says(body, size, "[fail429]"))
        return send_bytes(each, refusal, with_head(refusal, sizeof refusal, 429, "Slow", "Retry-After: 60\r\n", "{\"error\":{\"message\":\"slow down\",\"type\":\"rate_limit_error\"}}"));
    if (!memmem(body, size, "\"stream\":true", 13) && !memmem(body, size, "\"stream\": true", 14)) return send_bytes(each, whole, whole_size);
    streams++;
    if (!says(body, size, "[paced]")) return send_burst(each);
    each->sent = 0;
    each->due = now();
    each->next = paced.next;
    each->previous = &paced;
    if (paced.next) paced.next->previous = each;
    paced.next = each;
    return send_bytes(each, head_sse, sizeof head_sse - 1);
}

static int answer_get(Connection *each, const char *path) {
    char text[512], body[256] = "{}";
    if (!strncmp(path, "/v1/models", 10)) return send_bytes(each, models, models_size);
    if (!strncmp(path, "/stats", 6))
        snprintf(body, sizeof body, "{\"requests\":%lld,\"streams\":%lld,\"aborted\":%lld,\"open\":%lld}", requests, streams, aborted, open_now);
    int known = !strncmp(path, "/stats", 6) || !strncmp(path, "/health", 7);
    return send_bytes(each, text, with_head(text, sizeof text, known ? 200 : 404, known ? "OK" : "None", "", body));
}

/* All whole requests in the buffer, one after another. Returns 0 when the connection is to be left. */
static int answer(Connection *each) {
    size_t at = 0;
    while (each->sent < 0 && !each->hanging) {
        char *from = each->in + at, *end = memmem(from, each->have - at, "\r\n\r\n", 4);
        if (!end) break;
        *end = 0;
        char *length = strcasestr(from, "\r\ncontent-length:");
        size_t head = end + 4 - from, size = length ? strtoul(length + 17, NULL, 10) : 0;
        if (each->have - at < head + size) {
            *end = '\r';
            /* Make room at once: a large body must not be grown into by doubling. */
            if (head + size + 1 > each->room) each->in = realloc(each->in, each->room = head + size + 4096);
            break;
        }
        each->close_after = strcasestr(from, "\r\nconnection: close") != NULL;
        int well = !strncmp(from, "POST", 4) ? answer_chat(each, from + head, size) : answer_get(each, strchr(from, ' ') + 1);
        if (!well) return 0;
        at += head + size;
        if (each->close_after && each->sent < 0 && !each->hanging) return 0;
    }
    memmove(each->in, each->in + at, each->have - at);
    each->have -= at;
    return 1;
}

static int receive(Connection *each) {
    for (;;) {
        if (each->room - each->have < 4096) each->in = realloc(each->in, each->room = 2 * each->room + 8192);
        ssize_t got = recv(each->fd, each->in + each->have, each->room - each->have - 1, 0);
        if (got < 0) return errno == EAGAIN;
        if (!got) return 0;
        each->have += got;
        if (!answer(each)) return 0;
        if (each->room - each->have > 4096) return 1; /* level-triggered: what is left comes again */
    }
}

static void step_paced(void) {
    long long time = now();
    for (Connection *each = paced.next, *next; each; each = next) {
        next = each->next;
        int well = 1;
        while (well && each->sent >= 0 && each->due <= time) {
            well = send_bytes(each, event, event_size);
            each->due += PACE_NS;
            if (++each->sent < EVENTS) continue;
            unpace(each);
            well = well && send_bytes(each, ending, ending_size) && !each->close_after && answer(each);
        }
        if (!well) leave(each);
    }
}

static void accept_all(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0; open_now++) {
        int yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        Connection *each = calloc(1, sizeof *each);
        each->fd = fd;
        each->sent = -1;
        watch(each, EPOLL_CTL_ADD, 0);
    }
}

int main(int count, char **arguments) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(count > 1 ? atoi(arguments[1]) : 0), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ready[BATCH], wanted = {.events = EPOLLIN};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 4096)) return perror("mock"), 1;
    prepare();
    poller = epoll_create1(0);
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wanted);
    for (;;) {
        int found = epoll_wait(poller, ready, BATCH, paced.next ? 1 : -1);
        for (int number = 0; number < found; number++) {
            Connection *each = ready[number].data.ptr;
            unsigned what = ready[number].events;
            if (!each) accept_all(listener);
            else if (what & (EPOLLERR | EPOLLHUP | EPOLLRDHUP) && (each->sent >= 0 || each->hanging)) leave(each);
            else if ((what & EPOLLOUT && !flush(each)) || (what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP) && !receive(each))) leave(each);
        }
        step_paced();
    }
}
