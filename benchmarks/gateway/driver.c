/* A closed-loop load driver: every connection sends its request, reads the answer, and sends the next one. One thread, epoll.
 *
 * Usage: driver --port P --path /x [--body FILE] [--header "Name: value"]... [--connections N] [--seconds S | --count N]
 *               [--warm S] [--least N] [--spread S] [--expect STATUS] [--sse EVENTS] [--cancel]
 * --sse: the answer is an event stream; it must hold that many events with content, and [DONE]. --cancel: leave each stream after its
 * first event. --expect: a status, or its first digit. --warm: seconds at the start that do not count. --least: go on until so many.
 * --spread: seconds over which the connections begin, one after another; else all begin at once.
 * Prints one JSON object: answers a second; ms until the end (p50, p99, max) and, of streams, until the first content; errors.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256, ROOM = 1 << 18, GUARD_SECONDS = 30 };

typedef struct {
    int fd, busy, status, chunked, closing, events, done, begun;
    long long began, left; /* left: bytes of the body, or of the chunk, still to come; -1: its head has not come */
    size_t sent, have, text_have;
    char *in, *text; /* as it came; the body without chunk heads */
} Connection;

typedef struct {
    double *ms;
    size_t have, room;
} Times;

static struct sockaddr_in place = {.sin_family = AF_INET};
static char *request, *body_file, *headers = "", *path = "/v1/chat/completions", *method, fault[128];
static size_t request_size;
static int poller, connections = 1, want_events, cancel, expect = 200;
static long long begin, finish, least, to_send = -1, total, answers, active, errors, reconnects;
static Times whole, first;

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void note(Times *times, double ms) {
    if (times->have == times->room) times->ms = realloc(times->ms, (times->room = 2 * times->room + 65536) * sizeof(double));
    times->ms[times->have++] = ms;
}

static void complain(const char *what, int number) {
    errors++;
    if (!*fault) snprintf(fault, sizeof fault, "%s %d", what, number);
}

static void watch(Connection *each, int operation, unsigned events) {
    struct epoll_event wanted = {.events = events, .data.ptr = each};
    epoll_ctl(poller, operation, each->fd, &wanted);
}

static void push(Connection *each) {
    int was_partial = each->sent > 0;
    while (each->sent < request_size) {
        ssize_t wrote = send(each->fd, request + each->sent, request_size - each->sent, MSG_NOSIGNAL);
        if (wrote < 0) {
            if (errno == EAGAIN && !was_partial) watch(each, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return; /* any other fault shows when reading */
        }
        each->sent += wrote;
    }
    if (was_partial) watch(each, EPOLL_CTL_MOD, EPOLLIN);
}

/* Answers count when they end after the start, so that slow servers are not robbed of the ones they had begun. */
static int over(void) { return finish && now() >= finish && answers >= least; }

static void ask(Connection *each) {
    if (!to_send || over()) return;
    if (to_send > 0) to_send--;
    each->status = each->chunked = each->closing = each->events = each->done = each->begun = 0;
    each->sent = each->have = each->text_have = 0;
    each->left = -1;
    each->busy = 1;
    active++;
    each->began = now();
    push(each);
}

static void open_connection(Connection *each) {
    int yes = 1;
    each->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(each->fd, (struct sockaddr *)&place, sizeof place)) {
        printf("{\"errors\":1,\"fault\":\"connect: %s\"}\n", strerror(errno));
        exit(1);
    }
    setsockopt(each->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(each->fd, F_SETFL, O_NONBLOCK);
    watch(each, EPOLL_CTL_ADD, EPOLLIN);
}

static void renew(Connection *each) {
    close(each->fd);
    reconnects++;
    open_connection(each);
}

static int as_expected(int status) { return expect < 10 ? status / 100 == expect : status == expect; }

static void finish_one(Connection *each, const char *broken) {
    long long time = now();
    each->busy = 0;
    active--;
    total++;
    if (broken) complain(broken, each->status);
    else if (!as_expected(each->status)) complain("status", each->status);
    else if (want_events && each->events < want_events) complain("events", each->events);
    else if (want_events && !each->done) complain("no end marker after events:", each->events);
    else if (time >= begin) {
        answers++;
        if (each->began >= begin || least >= answers) note(&whole, (time - each->began) / 1e6);
    }
    if (broken || each->closing) renew(each);
    ask(each);
}

/* Whole events in the text: how many have content, and whether the end marker came. */
static void read_events(Connection *each) {
    size_t at = 0;
    for (char *end; (end = memmem(each->text + at, each->text_have - at, "\n\n", 2)); at = end + 2 - each->text) {
        char *from = each->text + at, *said = memmem(from, end - from, "\"content\":", 10);
        if (!memcmp(from, "data: [DONE]", 12)) each->done = 1;
        if (!said) continue;
        said += said[10] == ' ' ? 11 : 10;
        if (said[0] != '"' || said[1] == '"') continue;
        each->events++;
        if (!each->begun && now() >= begin) note(&first, (now() - each->began) / 1e6);
        each->begun = 1;
    }
    memmove(each->text, each->text + at, each->text_have - at);
    each->text_have -= at;
}

static void take_text(Connection *each, const char *data, size_t size) {
    if (!(want_events || cancel) || each->text_have + size > ROOM) return;
    memcpy(each->text + each->text_have, data, size);
    each->text_have += size;
}

static size_t read_head(Connection *each) {
    each->in[each->have] = 0;
    char *end = memmem(each->in, each->have, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    char *length = strcasestr(each->in, "\r\ncontent-length:");
    each->status = atoi(each->in + 9);
    each->chunked = strcasestr(each->in, "\r\ntransfer-encoding: chunked") != NULL;
    each->closing = strcasestr(each->in, "\r\nconnection: close") != NULL;
    each->left = each->chunked ? -1 : length ? atoll(length + 17) : 0;
    return end + 4 - each->in;
}

/* What has come, as far as it goes. Returns whether the answer is complete. */
static int consume(Connection *each) {
    size_t at = each->status ? 0 : read_head(each);
    int complete = each->status && !each->chunked && !each->left;
    while (each->status && !complete) {
        if (each->left < 0) {
            char *line = memmem(each->in + at, each->have - at, "\r\n", 2);
            if (!line) break;
            each->left = strtoll(each->in + at, NULL, 16) + 2; /* and the line end behind the chunk */
            at = line + 2 - each->in;
            if (each->left == 2 && each->have - at >= 2) complete = 1;
            if (each->left == 2 && !complete) { /* the last two bytes are missing: come again with the head line */
                at = line - each->in - 1;
                each->left = -1;
                break;
            }
            continue;
        }
        size_t size = each->have - at < (size_t)each->left ? each->have - at : (size_t)each->left;
        if (!size) break;
        size_t behind = each->chunked ? 2 : 0, data = each->left > (long long)behind ? each->left - behind : 0;
        take_text(each, each->in + at, size < data ? size : data);
        at += size;
        each->left -= size;
        if (!each->left && each->chunked) each->left = -1;
        else complete = !each->left;
    }
    memmove(each->in, each->in + at, each->have - at);
    each->have -= at;
    if (each->text_have) read_events(each);
    return complete;
}

static void receive(Connection *each) {
    ssize_t got = recv(each->fd, each->in + each->have, ROOM - each->have - 1, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        if (each->busy) finish_one(each, "connection lost after status");
        else if (finish || to_send) renew(each);
        else watch(each, EPOLL_CTL_DEL, 0);
        return;
    }
    each->have += got;
    if (!each->busy) return;
    int complete = consume(each);
    if (cancel && each->begun) each->closing = complete = 1;
    if (complete) finish_one(each, NULL);
}

static int by_size(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

static void show(const char *name, Times *times) {
    qsort(times->ms, times->have, sizeof(double), by_size);
    if (!times->have) return;
    size_t last = times->have - 1;
    printf(",\"%s_p50\":%.4f,\"%s_p99\":%.4f,\"%s_max\":%.4f", name, times->ms[last / 2], name, times->ms[(size_t)(last * .99)], name, times->ms[last]);
}

static void prepare(char *host) {
    size_t size = 0;
    char *body = NULL;
    FILE *file = body_file ? fopen(body_file, "rb") : NULL;
    if (file) {
        fseek(file, 0, SEEK_END);
        size = ftell(file);
        rewind(file);
        body = malloc(size + 1);
        size = fread(body, 1, size, file);
        fclose(file);
    }
    request = malloc(size + strlen(headers) + strlen(path) + 1024);
    request_size = sprintf(request, "%s %s HTTP/1.1\r\nHost: %s:%d\r\n%s", method ? method : body ? "POST" : "GET", path, host, ntohs(place.sin_port), headers);
    if (body) request_size += sprintf(request + request_size, "Content-Type: application/json\r\nContent-Length: %zu\r\n", size);
    request_size += sprintf(request + request_size, "\r\n");
    if (body) memcpy(request + request_size, body, size);
    request_size += size;
}

int main(int count, char **arguments) {
    struct epoll_event ready[BATCH];
    double seconds = 0, warm = 0, spread = 0;
    for (int at = 1; at < count; at++) {
        char *name = arguments[at], *value = at + 1 < count ? arguments[at + 1] : "";
        if (!strcmp(name, "--cancel")) { cancel = 1; continue; }
        at++;
        if (!strcmp(name, "--port")) place.sin_port = htons(atoi(value));
        else if (!strcmp(name, "--path")) path = value;
        else if (!strcmp(name, "--body")) body_file = value;
        else if (!strcmp(name, "--method")) method = value;
        else if (!strcmp(name, "--header")) { if (asprintf(&headers, "%s%s\r\n", headers, value) < 0) return 1; }
        else if (!strcmp(name, "--connections")) connections = atoi(value);
        else if (!strcmp(name, "--seconds")) seconds = atof(value);
        else if (!strcmp(name, "--warm")) warm = atof(value);
        else if (!strcmp(name, "--count")) to_send = atoll(value);
        else if (!strcmp(name, "--expect")) expect = atoi(value);
        else if (!strcmp(name, "--spread")) spread = atof(value);
        else if (!strcmp(name, "--least")) least = atoll(value);
        else if (!strcmp(name, "--sse")) want_events = atoi(value);
        else return fprintf(stderr, "driver: what is %s?\n", name), 2;
    }
    inet_pton(AF_INET, "127.0.0.1", &place.sin_addr);
    prepare("127.0.0.1");
    poller = epoll_create1(0);
    Connection *all = calloc(connections, sizeof *all);
    for (int number = 0; number < connections; number++) {
        all[number].in = malloc(ROOM);
        all[number].text = malloc(ROOM);
        open_connection(&all[number]);
    }
    long long started = now(), moved = started;
    begin = started + (long long)(warm * 1e9);
    finish = seconds ? begin + (long long)(seconds * 1e9) : 0;
    int begun = 0;
    while ((active || begun < connections) && !over()) {
        while (begun < connections && now() >= started + (long long)(spread * 1e9 * begun / connections)) ask(&all[begun++]);
        int found = epoll_wait(poller, ready, BATCH, begun < connections ? 1 : finish ? 20 : 1000);
        for (int number = 0; number < found; number++) {
            Connection *each = ready[number].data.ptr;
            if (ready[number].events & EPOLLOUT) push(each);
            if (ready[number].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(each);
        }
        if (found) moved = now();
        else if (now() - moved > GUARD_SECONDS * 1000000000LL) { complain("nothing moves, requests open:", active); break; }
    }
    double elapsed = (now() - begin) / 1e9;
    printf("{\"answers\":%lld,\"total\":%lld,\"seconds\":%.3f,\"rate\":%.2f,\"errors\":%lld,\"reconnects\":%lld,\"fault\":\"%s\"", answers, total, elapsed, answers / elapsed, errors, reconnects, fault);
    show("ms", &whole);
    show("first", &first);
    printf("}\n");
    return errors > 0;
}
